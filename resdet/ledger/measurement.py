"""A measurement, and the folder of all measurements: the source of docs/RESULTS.md.

ledger = read_ledger(Path("results"))           # results/*.json and results/ledger.toml
fruit = ledger.measurements["fruit_r18"]
fruit.rows[0].figures["mAP@.5"].mean
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import msgspec

from resdet.errors import UserError
from resdet.whole_files import write_whole_file

CONTENTS = "ledger.toml"  # sections and machines, in the ledger's folder
Choices = Literal["nothing", "training", "validation", "test"]


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


class Row(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One system that was measured.

    Args:
        name: of the system: a config, a peer ("torchvision"), a setting.
        figures: by column: "mAP@.5"; text where a result is not a number.
        seeds: of the trainings.
        paper: the paper's figures for it, in its words.
    """

    name: str
    figures: dict[str, Figure | str]
    seeds: list[int] = []
    paper: str = ""


class Measurement(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An experiment and its results.

    Args:
        title: what was measured.
        section: the key of its section in ledger.toml.
        rows: the results.
        commands: what was run, with "SEED" or "F" where runs differ.
        data: images and split that the results are of.
        choices: the data that settings were chosen on for this experiment; "nothing" was chosen.
        machine: a key of ledger.toml's machines, or its description.
        precision: "fp32", "bf16", ...
        time: how long it took, in words: "36 min a run beside another one".
        finding: what follows, in one to three sentences.
        configs: SHA-256 of each resolved config, by name; empty where it was not recorded.
        commit: of the code; empty where it was not recorded.
        versions: of Python, torch, ...
        kept: False if the settings were tried and not kept.
        brief: True if the page has its finding alone, without table and commands.
        picture: path relative to docs/ and caption.
    """

    title: str
    section: str
    rows: list[Row]
    data: str
    choices: Choices
    machine: str
    commands: list[str] = []
    precision: str = ""
    time: str = ""
    finding: str = ""
    configs: dict[str, str] = {}
    commit: str = ""
    versions: dict[str, str] = {}
    kept: bool = True
    brief: bool = False
    picture: tuple[str, str] | None = None


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


class Contents(msgspec.Struct, forbid_unknown_fields=True):
    """ledger.toml: the page's introduction, machines by letter, and the sections in order."""

    introduction: str
    machines: dict[str, str]
    section: list[Section]


class Ledger(msgspec.Struct):
    """All measurements by file name without .json, in alphabetical order, and the page's contents."""

    measurements: dict[str, Measurement]
    contents: Contents


def read_measurement(path: Path) -> Measurement:
    """Read one file.

    Raises:
        UserError: it is missing, or not a measurement.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Measurement)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a measurement: {error}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def write_measurement(path: Path, measurement: Measurement) -> None:
    """Write one file, as JSON that people can read and compare line by line.

    Raises:
        UserError: its folder cannot be made or written.
    """
    write_whole_file(path, msgspec.json.format(msgspec.json.encode(measurement), indent=1) + b"\n")


def read_ledger(folder: Path) -> Ledger:
    """Read a ledger.

    Raises:
        UserError: a file is missing or invalid, or a measurement's section or machine is not in ledger.toml.
    """
    path = folder / CONTENTS
    try:
        contents = msgspec.toml.decode(path.read_bytes(), type=Contents)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a ledger's contents: {error}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; give the folder of a ledger") from None
    measurements = {file.stem: read_measurement(file) for file in sorted(folder.glob("*.json"))}
    keys = [section.key for section in contents.section]
    for name, measurement in measurements.items():
        if measurement.section not in keys:
            raise UserError(f"{folder / name}.json: {path} has no section '{measurement.section}'; it has {keys}")
    for section in contents.section:
        for name in section.first:
            if name not in measurements or measurements[name].section != section.key:
                raise UserError(f"{path}: section {section.key} has no measurement '{name}', which `first` names")
    return Ledger(measurements, contents)
