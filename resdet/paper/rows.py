"""The rows of the paper's tables and figures, from rows.toml.

rows = rows_of("7")                        # Table 7; "figure6" or "f6" for Figure 6
row = find_row("table7-voc07_r101")
commands_of(row)                           # to train, then to measure; with those of the rows that it needs
"""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from resdet.errors import UserError, did_you_mean

TABLES, FIGURES = range(1, 15), (1, 4, 6, 7)
PLACES = (*(f"Table {n}" for n in TABLES), *(f"Figure {n}" for n in FIGURES))


@dataclass(frozen=True)
class Row:
    """One row.

    Args:
        id: its name for `resdet reproduce`: "table7-voc07_r101".
        place: the table or figure: "Table 7".
        title: what is trained and tested.
        paper: the paper's figures, in percent where they are errors or mAP.
        config: the config that it is measured with.
        train: commands to train, in order.
        measure: commands to measure.
        after: ids of the rows whose `train` comes first.
        files: files that the commands read besides the config's data and weights.
        measured: what docs/RESULTS.md has; empty if the row was never run.
        note: what the paper leaves open.
    """

    id: str
    place: str
    title: str
    paper: str
    config: str
    train: tuple[str, ...] = ()
    measure: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    measured: str = ""
    note: str = ""


@cache
def all_rows() -> tuple[Row, ...]:
    """All rows, in the file's order."""
    text = resources.files("resdet.paper").joinpath("rows.toml").read_text(encoding="utf-8")
    nodes = tomllib.loads(text)["row"]
    return tuple(_row(node) for node in nodes)


def _row(node: dict[str, Any]) -> Row:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in node.items()}
    return Row(**fields)


def find_row(name: str) -> Row:
    """The row with this id.

    Raises:
        UserError: there is none; the message names a similar one.
    """
    rows = {row.id: row for row in all_rows()}
    if name not in rows:
        raise UserError(f"there is no row {name}{did_you_mean(name, rows)}; 'resdet table' lists all rows")
    return rows[name]


def rows_of(name: str) -> list[Row]:
    """The rows of a table or figure.

    Args:
        name: "7", "table7", "Table 7" for Table 7; "figure6", "f6" for Figure 6.

    Raises:
        UserError: there is no such table or figure.
    """
    match = re.fullmatch(r"(t|table|f|fig|figure)?[ .]*(\d+)", name.lower())
    kind = "Figure" if match and (match[1] or "t")[0] == "f" else "Table"
    place = f"{kind} {match[2]}" if match else name
    if place not in PLACES:
        figures = ", ".join(f"f{n}" for n in FIGURES)
        raise UserError(f"there is no table or figure {name}: give 1 to {TABLES[-1]}, or {figures} for a figure")
    return [row for row in all_rows() if row.place == place]


def commands_of(row: Row) -> list[str]:
    """The commands of a row in order: the trainings that it needs, its own, the measurements; each once."""
    training = [command for name in row.after for command in _trainings(find_row(name))]
    return list(dict.fromkeys([*training, *row.train, *row.measure]))


def words_of(command: str) -> list[str]:
    """The words of a command, without "resdet": ["train-det", "voc07_r101"]."""
    program, *words = shlex.split(command)
    assert program == "resdet", command
    return words


def _trainings(row: Row) -> list[str]:
    return [*(command for name in row.after for command in _trainings(find_row(name))), *row.train]
