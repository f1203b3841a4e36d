"""A measurement, and the folder of all measurements: the source of docs/RESULTS.md.

ledger = read_ledger(Path("results"))           # results/*.json and results/ledger.toml
fruit = ledger.measurements["fruit_r18"]
fruit.rows[0].figures["mAP@.5"].mean
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from resdet.errors import UserError
from resdet.whole_files import write_whole_file

CONTENTS = "ledger.toml"  # sections and machines, in the ledger's folder
RECORDED = "recorded"  # section of new measurements, until somebody moves them
T = TypeVar("T")
Choices = Literal["nothing", "training", "validation", "test", "unknown"]


class Figure(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One result of a row, by seed or repetition.

    Args:
        values: in the unit that the column names; one per seed of the row, or any number of repetitions.
        interval: 95 % confidence interval of the mean, or of the difference if the column is one.
        stated: mean and spread of the unrounded values, where those of `values`, which were rounded, differ.
    """

    values: list[float]
    interval: tuple[float, float] | None = None
    stated: str = ""

    def __post_init__(self) -> None:
        if not self.values or not all(map(math.isfinite, self.values)):
            raise ValueError("a figure needs at least one value, all of them finite")

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return math.fsum(self.values) / len(self.values)

    @property
    def std(self) -> float | None:
        """The standard deviation of the values, with n - 1; None of a single one."""
        if len(self.values) < 2:
            return None
        return math.sqrt(math.fsum((v - self.mean) ** 2 for v in self.values) / (len(self.values) - 1))


class Origin(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Where the values of one seed come from, as the command that measured them has recorded it.

    Args:
        command: the command line, without the options that only write.
        commit: of the code, with "+" if files were changed; empty outside of a checkout.
        machine: processor or GPU.
        precision: of the net.
        minutes: of processor time, of the whole command.
        versions: of Python, torch, ...
        seed: of the training; None if there is none, as of an ensemble.
    """

    command: str
    commit: str
    machine: str
    precision: str
    minutes: float
    versions: dict[str, str]
    seed: int | None = None


class Row(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One system that was measured.

    Args:
        name: of the system: a config, a peer ("torchvision"), a setting.
        figures: by column: "mAP@.5"; text where a result is not a number.
        seeds: of the trainings.
        paper: the paper's figures for it, in its words.
        tested: digest of the config and the options of the test, if a command has recorded the row.
        origins: of the recorded values, one per seed.
    """

    name: str
    figures: dict[str, Figure | str]
    seeds: list[int] = []
    paper: str = ""
    tested: str = ""
    origins: list[Origin] = []


class Measurement(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An experiment and its results.

    Args:
        title: what was measured.
        section: the key of its section in ledger.toml.
        rows: the results.
        commands: what was run, with "SEED" or "F" where runs differ.
        data: images and split that the results are of.
        choices: the data that settings were chosen on for this experiment; "nothing" was chosen. "unknown" is what
            commands record.
        machine: a key of ledger.toml's machines, or its description; empty if `origins` have it.
        precision: "fp32", "bf16", ...
        time: how long it took, in words: "36 min a run beside another one".
        finding: what follows, in one to three sentences.
        images: digest of the test images' ids, if a command has recorded the results.
        kept: False if the settings were tried and not kept.
        brief: True if the page has its finding alone, without table and commands.
        picture: path relative to docs/ and caption.
        earlier: what was otherwise in the code of then and may change these figures, without a full stop.
    """

    title: str
    section: str
    rows: list[Row]
    data: str
    choices: Choices
    machine: str = ""
    commands: list[str] = []
    precision: str = ""
    time: str = ""
    finding: str = ""
    images: str = ""
    kept: bool = True
    brief: bool = False
    picture: tuple[str, str] | None = None
    earlier: str = ""


class Section(msgspec.Struct, forbid_unknown_fields=True):
    """A section of the page.

    Args:
        key: what measurements name.
        title: its heading.
        text: Markdown below the heading.
        first: measurements that come first, in this order; the others follow by name.
    """

    key: str
    title: str
    text: str = ""
    first: list[str] = []


class Summary(msgspec.Struct, forbid_unknown_fields=True):
    """A row of the table at the top of the page.

    Args:
        what: was measured.
        result: in one line.
        certainty: seeds, interval, what settings were chosen on.
        of: the measurements that it sums up; none: nothing was measured.
    """

    what: str
    result: str
    certainty: str
    of: list[str] = []


class Contents(msgspec.Struct, forbid_unknown_fields=True):
    """ledger.toml: the page's introduction, machines by letter, the sections in order, and the summary."""

    introduction: str
    machines: dict[str, str]
    section: list[Section]
    summary: list[Summary] = []


class Ledger(msgspec.Struct):
    """All measurements by file name without .json, in alphabetical order; the page's contents; the folder's name."""

    folder: str
    measurements: dict[str, Measurement]
    contents: Contents


def read_measurement(path: Path) -> Measurement:
    """Read one file.

    Raises:
        UserError: it is missing, or not a measurement.
    """
    return _read(path, lambda data: msgspec.json.decode(data, type=Measurement), "a measurement")


def write_measurement(path: Path, measurement: Measurement) -> None:
    """Write one file, as JSON that people can read and compare line by line.

    Raises:
        UserError: its folder cannot be made or written.
    """
    write_whole_file(path, msgspec.json.format(msgspec.json.encode(measurement), indent=1) + b"\n")


def _read(path: Path, decode: Callable[[bytes], T], what: str) -> T:
    try:
        return decode(path.read_bytes())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not {what}: {error}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _read_contents(path: Path) -> Contents:
    return _read(path, lambda data: msgspec.toml.decode(data, type=Contents), "a ledger's contents")


def read_ledger(folder: Path) -> Ledger:
    """Read a ledger.

    Without a ledger.toml, or without its section "recorded", measurements of that section come under a plain heading.

    Raises:
        UserError: there is no measurement, a file is invalid, or a measurement's section or machine is not in
            ledger.toml.
    """
    path = folder / CONTENTS
    measurements = {file.stem: read_measurement(file) for file in sorted(folder.glob("*.json"))}
    if not measurements:
        raise UserError(f"{folder} has no measurement (*.json); give the folder of the files that --record has written")
    contents = _read_contents(path) if path.is_file() else Contents("", {}, [])
    if all(section.key != RECORDED for section in contents.section):
        contents.section.append(Section(RECORDED, "Recorded"))
    keys = [section.key for section in contents.section]
    for name, measurement in measurements.items():
        if measurement.section not in keys:
            there = f"has no section '{measurement.section}'; it has {keys}" if path.is_file() else "is missing"
            raise UserError(f"{folder / name}.json: {path} {there}")
        if len(measurement.machine) == 1 and measurement.machine not in contents.machines:
            raise UserError(f"{folder / name}.json: {path} has no machine '{measurement.machine}'")
    for section in contents.section:
        for name in section.first:
            if name not in measurements or measurements[name].section != section.key:
                raise UserError(f"{path}: section {section.key} has no measurement '{name}', which `first` names")
    for row in contents.summary:
        if missing := [name for name in row.of if name not in measurements]:
            raise UserError(f"{path}: the summary of '{row.what}' names measurements that do not exist: {missing}")
    return Ledger(folder.resolve().name, measurements, contents)
