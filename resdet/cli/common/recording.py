"""--record: add what a command has measured to a measurement of the ledger."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from resdet.benchmarks.accuracy import Row as Contended
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import Config, build
from resdet.engine.config_text import config_text
from resdet.engine.run import Run, environment
from resdet.errors import UserError
from resdet.ledger.measurement import Figure, read_measurement
from resdet.ledger.recording import Result, record, record_difference

VERSIONS = ("Python", "torch", "torchvision")
COLUMN = "mAP@.5"
NAMES = {"mAP50": COLUMN, "mAP50_95": "mAP@[.5:.95]", "mAP": "mAP", "AP": "AP", "AP50": "AP50"}


def check_record(args: argparse.Namespace) -> None:
    """Refuse a file of --record that is no measurement before hours of work, not after.

    Raises:
        UserError: the file is none.
    """
    if args.record is not None and args.record.is_file():
        read_measurement(args.record)


def refuse_record(args: argparse.Namespace) -> None:
    """Refuse --record where files are scored, whose config and seed nobody knows.

    Raises:
        UserError: it is given.
    """
    if args.record is not None:
        raise UserError("--record: results of files are not recorded, since their config is unknown; --json has them")


def record_rows(
    args: argparse.Namespace,
    cfg: Config,
    run: Run,
    rows: Mapping[str, Mapping[str, float]],
    images: int,
    checkpoints: Sequence[Path],
) -> None:
    """Write rows of results where --record asks for them.

    Args:
        args: the parsed arguments.
        cfg: the config that was tested.
        run: of the test.
        rows: figures by column, by name of the row.
        images: number of test images.
        checkpoints: of the tested nets; the seed is that of a single one.
    """
    if args.record is None:
        return
    seed = _seed(checkpoints)
    for name, figures in rows.items():
        record(args.record, _result(args, cfg, run, name, figures, seed, images))


def record_contenders(args: argparse.Namespace, cfg: Config, run: Run, rows: Sequence[Contended]) -> None:
    """Write the results of trainings side by side, and their differences to the first, where --record asks for it.

    Args:
        args, cfg, run: as `record_rows` takes them; `args.seeds` are those of every row.
        rows: of the contenders, which were tested on the same images.
    """
    if args.record is None:
        return
    images = len(build(cfg.data.test))
    for row in rows:
        for at, seed in enumerate(args.seeds):
            figures = {COLUMN: 100 * row.map50[at], "mAP@[.5:.95]": 100 * row.map50_95[at]}
            record(args.record, _result(args, cfg, run, row.name, figures, seed, images))
    for row in rows[1:]:
        assert row.lead is not None
        values = [round(100 * (ours - theirs), 2) for ours, theirs in zip(row.map50, rows[0].map50, strict=True)]
        interval = round(100 * row.lead.low, 2), round(100 * row.lead.high, 2)
        name = f"{row.name} - {rows[0].name}"
        record_difference(args.record, name, COLUMN, Figure(values, interval), args.seeds)


def _result(
    args: argparse.Namespace,
    cfg: Config,
    run: Run,
    row: str,
    figures: Mapping[str, float],
    seed: int | None,
    images: int,
) -> Result:
    about = environment(run)
    return Result(
        row=row,
        figures={column: round(value, 2) for column, value in figures.items()},
        seed=seed,
        command=shlex.join(["resdet", *_without_record(args.words)]),
        config=config_text(cfg),
        data=f"{images:,} images, data.test of {name_of(cfg)}",
        machine=about["device"],
        precision=run.precision,
        seconds=time.process_time(),
        versions={name: about[name] for name in VERSIONS},
    )


def name_of(cfg: Config) -> str:
    """The name of a config; of one that a checkpoint keeps, the name of the run's folder."""
    path = Path(cfg.filename)
    return path.stem if path.suffix == ".py" else path.resolve().parent.name


def percent(figures: Mapping[str, object]) -> dict[str, float]:
    """Those of a detector's figures, in 0..1, that are named in NAMES, in percent."""
    return {NAMES[key]: 100 * value for key, value in figures.items() if key in NAMES and isinstance(value, float)}


def _seed(checkpoints: Sequence[Path]) -> int | None:
    """The seed of a training; None of an ensemble, and of weights that resdet has not trained."""
    if len(checkpoints) != 1 or Path(checkpoints[0]).suffix != ".pth":
        return None
    seed = read_checkpoint(checkpoints[0]).get("seed")
    return seed if isinstance(seed, int) else None


def _without_record(words: Sequence[str]) -> list[str]:
    kept = list(words)
    for at, word in enumerate(words):
        if word == "--record":
            return kept[:at] + kept[at + 2 :]
    return [word for word in kept if not word.startswith("--record=")]
