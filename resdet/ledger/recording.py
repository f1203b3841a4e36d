"""Rows of results added to a measurement of the ledger, by the command that has just measured them."""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from resdet.errors import UserError
from resdet.ledger.measurement import RECORDED, Figure, Measurement, Origin, Row, read_measurement, write_measurement

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class Result:
    """What a command has measured of one system.

    Args:
        row: the system: a config's name, or a contender's.
        tested: `digest` of the config and the options of the test.
        figures: values by column, in percent where they are errors or mAP; those that are not finite are left out.
        origin: of the values.
    """

    row: str
    tested: str
    figures: Mapping[str, float]
    origin: Origin


def digest(*texts: str) -> str:
    """A hash of texts: the first 16 hexadecimal digits of their SHA-256."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def record(path: Path, results: Sequence[Result], images: str, data: str, differences: Sequence[Row] = ()) -> None:
    """Add results to the measurement in `path`, or begin one there. Several processes may do so at once.

    A row of the same name gets the figures of another seed; those of an equal seed, or of none, are replaced.

    Args:
        path: of the measurement.
        results: of one test, each of another row.
        images: `digest` of the ids of the test images.
        data: the test images in words.
        differences: rows of differences, each written over an older one of its name.

    Raises:
        UserError: the file is no measurement, cannot be written, or is not comparable (`check_comparable`); it is
            unchanged then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        measurement = read_measurement(path) if path.is_file() else _new(path, images, data)
        if measurement.images != images:
            raise UserError(f"--record {path} has results on other images; give another file")
        for result in results:
            check_comparable(path, measurement, result.row, result.tested, result.origin)
            _add(measurement, result, path)
        for difference in differences:
            measurement.rows = [row for row in measurement.rows if row.name != difference.name] + [difference]
        write_measurement(path, measurement)


def check_comparable(path: Path, measurement: Measurement, name: str, tested: str, origin: Origin) -> None:
    """Check that the results of a test can stand in a row, before or after the test.

    Args:
        path: of the measurement, for messages.
        measurement: its content.
        name: of the row, which need not exist.
        tested, origin: as in `Result`.

    Raises:
        UserError: the row was written by hand, or is of another config, other options, another precision, or of seeds
            where this has none, or the other way round.
    """
    row = next((row for row in measurement.rows if row.name == name), None)
    if not measurement.images:
        raise UserError(f"--record {path} was written by hand, nobody knows on which images; give another file")
    if row is None:
        return
    problems = {
        "was written by hand": not row.tested,
        "is of another config or of other options": row.tested != tested,
        "is of another precision": any(own.precision != origin.precision for own in row.origins),
        "is of single trainings, this is not": bool(row.seeds) and origin.seed is None,
        "is not of a single training, this is": not row.seeds and origin.seed is not None,
        "has not one value for each seed": not _whole(row),
    }
    for problem, found in problems.items():
        if found:
            raise UserError(
                f"--record {path}: the row '{name}' {problem}; give another file, or another row with --row"
            )


def _whole(row: Row) -> bool:
    values = [figure.values for figure in row.figures.values() if isinstance(figure, Figure)]
    wanted = max(1, len(row.seeds))
    return len(values) == len(row.figures) and all(len(own) == wanted == len(row.origins) for own in values)


def commit_here() -> str:
    """The commit of the code that runs, with "+" if files are changed; empty outside of a checkout."""
    git, folder = shutil.which("git"), Path(__file__).parent
    if git is None:
        return ""
    described, tracked = (
        subprocess.run([git, *words], cwd=folder, capture_output=True, text=True, check=False)
        for words in (
            ["describe", "--always", "--exclude=*", "--dirty=+", "--abbrev=12"],
            ["ls-files", "--error-unmatch", __file__],
        )
    )
    return described.stdout.strip() if described.returncode == 0 and tracked.returncode == 0 else ""


def _new(path: Path, images: str, data: str) -> Measurement:
    title = path.stem.replace("_", " ")
    return Measurement(title=title, section=RECORDED, rows=[], data=data, choices="unknown", images=images)


def _add(measurement: Measurement, result: Result, path: Path) -> None:
    figures = {name: value for name, value in result.figures.items() if math.isfinite(value)}
    if len(figures) < len(result.figures):
        missing = ", ".join(name for name in result.figures if name not in figures)
        logger.warning("--record %s: %s of %s is not a number and is left out", path, missing, result.row)
    if not figures:
        return
    row = next((row for row in measurement.rows if row.name == result.row), None)
    if row is None:
        row = Row(result.row, {}, tested=result.tested)
        measurement.rows.append(row)
    seed = result.origin.seed
    before = {origin.command for origin in row.origins}
    if not row.seeds:
        row.figures = {name: Figure([value]) for name, value in figures.items()}
        row.seeds, row.origins = [] if seed is None else [seed], [result.origin]
    else:
        _add_seed(row, figures, result.origin, path)
    left = {origin.command for row in measurement.rows for origin in row.origins}
    measurement.commands = [command for command in measurement.commands if command not in before - left]
    if result.origin.command not in measurement.commands:
        measurement.commands.append(result.origin.command)


def _add_seed(row: Row, figures: Mapping[str, float], origin: Origin, path: Path) -> None:
    if set(row.figures) != set(figures):
        raise UserError(
            f"--record {path}: the row '{row.name}' has {', '.join(row.figures)}, not {', '.join(figures)}; give "
            "another file, or another row with --row"
        )
    assert origin.seed is not None
    at = row.seeds.index(origin.seed) if origin.seed in row.seeds else len(row.seeds)
    row.seeds[at : at + 1], row.origins[at : at + 1] = [origin.seed], [origin]
    for name, value in figures.items():
        own = row.figures[name]
        values = list(own.values) if isinstance(own, Figure) else []
        values[at : at + 1] = [value]
        row.figures[name] = Figure(values)  # an interval, or a mean stated by hand, was of the older values
