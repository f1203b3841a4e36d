"""A row of results added to a measurement of the ledger, by the command that has just measured it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resdet.errors import UserError
from resdet.ledger.measurement import Figure, Measurement, Row, read_measurement, write_measurement

SECTION = "recorded"  # of new measurements, until somebody moves them


@dataclass(frozen=True)
class Result:
    """What a command has measured.

    Args:
        row: the system: a config's name, or a contender's.
        figures: values by column, in percent where they are errors or mAP.
        seed: of the training; None if there is none.
        command: the command line.
        config: text of the resolved config.
        data: images and split.
        machine: processor or GPU.
        precision: of the net.
        seconds: of processor time, what the command took.
        versions: of Python, torch, ...
    """

    row: str
    figures: Mapping[str, float]
    seed: int | None
    command: str
    config: str
    data: str
    machine: str
    precision: str
    seconds: float
    versions: Mapping[str, str] = field(default_factory=dict)


def record(path: Path, result: Result) -> Measurement:
    """Add a result to the measurement in `path`, or begin one there.

    A row of the same name gets the figures of this seed; those of an equal seed are replaced.

    Raises:
        UserError: the file is no measurement, cannot be written, or is of other data, another precision or, for a row
            of this name, another config.
    """
    measurement = read_measurement(path) if path.is_file() else _new(path, result)
    digest = hashlib.sha256(result.config.encode()).hexdigest()
    before = measurement.configs.get(result.row, digest)
    for what, old, new in (
        ("data", measurement.data, result.data),
        ("precision", measurement.precision, result.precision),
        ("config", before, digest),
    ):
        if old != new:
            raise UserError(f"--record {path} has results of another {what} ({old}, not {new}); give another file")
    measurement.configs[result.row] = digest
    if result.command not in measurement.commands:
        measurement.commands.append(result.command)
    _add(_row(measurement, result.row), result, path)
    write_measurement(path, measurement)
    return measurement


def record_difference(path: Path, name: str, column: str, figure: Figure, seeds: Sequence[int]) -> None:
    """Write the difference of two rows as a row of its own, over an older one of this name.

    Args:
        path: of the measurement, which exists.
        name: of the row: "resdet - torchvision".
        column: what is compared.
        figure: the difference by seed, and its interval.
        seeds: of the two rows.
    """
    measurement = read_measurement(path)
    measurement.rows = [row for row in measurement.rows if row.name != name]
    measurement.rows.append(Row(name, {column: figure}, list(seeds)))
    write_measurement(path, measurement)


def commit_here() -> str:
    """The commit of the code that runs, with "+" if files are changed; empty outside of a checkout."""
    git, folder = shutil.which("git"), Path(__file__).parent
    if git is None:
        return ""
    described = subprocess.run(
        [git, "describe", "--always", "--exclude=*", "--dirty=+", "--abbrev=12"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    tracked = subprocess.run(
        [git, "ls-files", "--error-unmatch", __file__], cwd=folder, capture_output=True, check=False
    )
    return described.stdout.strip() if described.returncode == 0 and tracked.returncode == 0 else ""


def _new(path: Path, result: Result) -> Measurement:
    return Measurement(
        title=path.stem.replace("_", " "),
        section=SECTION,
        rows=[],
        data=result.data,
        choices="nothing",
        machine=result.machine,
        precision=result.precision,
        time=f"{result.seconds / 60:.1f} min of processor time",
        commit=commit_here(),
        versions=dict(result.versions),
    )


def _row(measurement: Measurement, name: str) -> Row:
    for row in measurement.rows:
        if row.name == name:
            return row
    measurement.rows.append(Row(name, {}))
    return measurement.rows[-1]


def _add(row: Row, result: Result, path: Path) -> None:
    """Put the values of a seed into a row; without a seed, in the place of the row's."""
    if result.seed is None:
        row.seeds, row.figures = [], {name: Figure([value]) for name, value in result.figures.items()}
        return
    if row.seeds and set(row.figures) != set(result.figures):
        raise UserError(
            f"--record {path}: the row {row.name} has {', '.join(row.figures)}, not {', '.join(result.figures)}; give "
            "another file"
        )
    if not row.seeds:
        row.figures = {name: Figure([value]) for name, value in result.figures.items()}
        row.seeds = [result.seed]
        return
    at = row.seeds.index(result.seed) if result.seed in row.seeds else len(row.seeds)
    row.seeds[at : at + 1] = [result.seed]
    for name, value in result.figures.items():
        figure = row.figures[name]
        if isinstance(figure, Figure):
            figure.values[at : at + 1] = [value]
            figure.stated = ""  # of the values before
