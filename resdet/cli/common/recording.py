"""--record: add what a command has measured to a measurement of the ledger.

recording = Recording(args, cfg, started, [path])      # before the test: refuses what could not be recorded after it
recording.write({name_of(cfg): {"mAP@.5": 75.0}}, ids)
"""

from __future__ import annotations

import argparse
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resdet.benchmarks.contender_result import ContenderResult
from resdet.engine.checkpoint import LAST, read_checkpoint
from resdet.engine.config import Config
from resdet.engine.config_text import config_text
from resdet.engine.onnx_facts import is_onnx
from resdet.engine.run import Run, environment
from resdet.errors import UserError
from resdet.ledger.measurement import Figure, Origin, Row, read_measurement
from resdet.ledger.recording import Result, check_comparable, commit_here, digest, record

VERSIONS = ("Python", "torch", "torchvision")
COLUMN = "mAP@.5"
NAMES = {"mAP50": COLUMN, "mAP50_95": "mAP@[.5:.95]"}
ONLY_WRITE = ("--record", "--row", "--json")  # options that change no figure
# Arguments that do not say what is tested: the config has its own digest, precision and seed their own fields.
APART = {
    "record", "row", "json", "words", "config", "checkpoint", "precision", "seed", "seeds", "device", "launcher",
    "print_config", "cfg_options", "work_dir", "write_detections", "write_submission", "write_results",
    "write_predictions", "predictions", "submission", "pictures", "contenders",
}  # fmt: skip


class Recording:
    """The results that a command is about to measure, for the file of --record; without it nothing is done.

    Args:
        args: the parsed arguments.
        cfg: the config that is tested.
        run: of the test.
        checkpoints: of all nets that are tested together; the seed is that of a single one.

    Raises:
        UserError: the file of --record is no measurement, or has something else in the row.
    """

    def __init__(self, args: argparse.Namespace, cfg: Config, run: Run, checkpoints: Sequence[Path] = ()) -> None:
        self.path: Path | None = args.record
        if self.path is None:
            if args.row is not None:
                raise UserError("--row names the results in the file of --record: give that too")
            return
        if self.path.suffix.lower() != ".json":
            raise UserError(f"--record {self.path}: 'resdet results' reads .json files alone; give such a name")
        if any(map(is_onnx, checkpoints)):  # of which neither the training nor the precision is known
            refuse_record(args, "figures of exported files")
        self.args, self.run, self.nets = args, run, len(checkpoints)
        self.name = args.row or name_of(cfg)
        if self.nets > 1:
            self.name += f", {self.nets} nets"
        self.images = name_of(cfg)
        trainings = [_training(path) for path in checkpoints]
        self.seed = trainings[0][0] if len(trainings) == 1 else None
        facts = sorted(repr(facts) for _, facts in trainings)
        self.tested, self.commit = digest(config_text(cfg), repr(sorted(_options(args).items())), *facts), commit_here()
        if self.path.is_file():
            measurement, origin = read_measurement(self.path), self._origin(self.seed)
            check_comparable(self.path, measurement, self.name, self.tested, origin)

    def write(self, rows: Mapping[str, Mapping[str, float]], ids: Sequence[str]) -> None:
        """Record what was measured.

        Args:
            rows: figures by column, by what is added to the name of the row: "" for the row itself.
            ids: of the test images.
        """
        if self.path is None:
            return
        origin = self._origin(self.seed)
        results = [
            Result(", ".join(filter(None, [self.name, more])), self.tested, _rounded(figures), origin)
            for more, figures in rows.items()
        ]
        record(self.path, results, digest(*ids), self._data(ids))

    def write_contenders(self, rows: Sequence[ContenderResult], ids: Sequence[str]) -> None:
        """Record trainings side by side, and the differences to the first contender.

        Args:
            rows: of the contenders, each with the seeds `args.seeds`.
            ids: of the test images.
        """
        if self.path is None:
            return
        for at, seed in enumerate(self.args.seeds):
            origin = self._origin(seed)
            figures = [{COLUMN: 100 * r.map50[at], NAMES["mAP50_95"]: 100 * r.map50_95[at]} for r in rows]
            results = [Result(r.name, self.tested, _rounded(f), origin) for r, f in zip(rows, figures, strict=True)]
            last = at == len(self.args.seeds) - 1
            record(self.path, results, digest(*ids), self._data(ids), self._differences(rows) if last else ())

    def _differences(self, rows: Sequence[ContenderResult]) -> list[Row]:
        """Of the seeds of this call; its interval is of these alone."""
        found = []
        for row in rows[1:]:
            assert row.lead is not None
            values = [round(100 * (ours - theirs), 2) for ours, theirs in zip(row.map50, rows[0].map50, strict=True)]
            interval = round(100 * row.lead.low, 2), round(100 * row.lead.high, 2)
            name = f"{row.name} - {rows[0].name}"
            found.append(Row(name, {COLUMN: Figure(values, interval)}, list(self.args.seeds)))
        return found

    def _origin(self, seed: int | None) -> Origin:
        about = environment(self.run)
        return Origin(
            command=_command(self.args.words),
            commit=self.commit,
            machine=about["device"],
            precision=self.run.precision,
            minutes=round(time.process_time() / 60, 1),
            versions={name: about[name] for name in VERSIONS},
            seed=seed,
        )

    def _data(self, ids: Sequence[str]) -> str:
        return f"{len(ids):,} test images of {self.images}"


def refuse_record(args: argparse.Namespace, what: str = "results of files") -> None:
    """Refuse --record where it would have no meaning.

    Args:
        args: the parsed arguments.
        what: cannot be recorded.

    Raises:
        UserError: it is given.
    """
    if args.record is not None:
        raise UserError(f"--record: {what} are not recorded; --json has them")


def name_of(cfg: Config) -> str:
    """The name of a config; of one that a checkpoint keeps, the name of the run's folder."""
    path = Path(cfg.filename)
    return path.stem if path.suffix == ".py" else path.resolve().parent.name


def percent(figures: Mapping[str, object]) -> dict[str, float]:
    """Those of a detector's figures, in 0..1, that are named in NAMES, in percent."""
    return {NAMES[key]: 100 * value for key, value in figures.items() if key in NAMES and isinstance(value, float)}


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {column: round(value, 2) for column, value in figures.items()}


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments that say how it is tested, by name; files of weights, which differ from seed to seed, by number."""
    return {name: _plain(value) for name, value in vars(args).items() if name not in APART}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    text = str(value)
    return "F" if text.endswith((".pth", ".pt", ".pkl", ".safetensors")) else text


def _training(checkpoint: Path) -> tuple[int | None, tuple[Any, ...]]:
    """The seed of a training, and what else its seeds have in common: last.pth or best.pth, steps, initial weights.

    Of weights that resdet has not trained only the file's name is known.
    """
    name = Path(checkpoint).name
    try:
        state = read_checkpoint(checkpoint)
    except UserError:
        return None, (name,)
    seed = state.get("seed")
    step = state.get("step") if name == LAST else None  # the best step is another with each seed
    facts = name, step, state.get("conditions", {}).get("init_from")
    return seed if isinstance(seed, int) else None, facts


def _command(words: Sequence[str]) -> str:
    """The command line without the options that only write; paths below this folder are relative."""
    kept: list[str] = []
    skipped = False  # the word before was an option of ONLY_WRITE, whose value follows
    for word in words:
        option = word.partition("=")[0]
        if not skipped and len(option) > 3 and any(own.startswith(option) for own in ONLY_WRITE):
            skipped = "=" not in word
            continue
        if not skipped:
            kept.append(word)
        skipped = False
    here = f"{Path.cwd()}{os.sep}"
    return shlex.join(["resdet", *(word.removeprefix(here) for word in kept)])
