"""The tables of README.md and docs/PAPER.md, written from the rows between two comments.

    <!-- rows: Table 7 -->
    ...                                    replaced by the rows of Table 7; "rows: summary" has a line for each table
    <!-- end of rows -->

`python -m resdet.paper README.md docs/PAPER.md` brings the files up to date; a test fails where they are not.
"""

from __future__ import annotations

import math
import re
from itertools import groupby
from pathlib import Path

from resdet.paper.rows import Row, all_rows, rows_of

BLOCK = re.compile(r"(<!-- rows: (?P<what>[\w ,]+) -->\n).*?(<!-- end of rows -->)", re.DOTALL)
SUMMARY = "summary"


def updated(text: str) -> str:
    """A Markdown text with the tables between the comments written anew.

    Raises:
        UserError: a comment names a table that does not exist.
    """
    return BLOCK.sub(lambda found: f"{found[1]}{_table(found['what'])}{found[3]}", text)


def update_file(path: Path) -> None:
    """Bring one file up to date, in place."""
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")


def _table(what: str) -> str:
    if what == SUMMARY:
        return _summary()
    lines = ["| row | | paper | measured here |", "| --- | --- | --- | --- |"]
    for name in what.split(","):
        for row in rows_of(name.strip()):
            title = f"{row.title} ({row.note})" if row.note else row.title
            lines.append(f"| `{row.id}` | {title} | {row.paper} | {row.measured} |")
    return "\n".join(lines) + "\n"


def _summary() -> str:
    """A line for each table and figure: how many rows it has, and the one with the paper's best figure."""
    lines = ["| | rows | its best result, or else its first row | config | paper |", "| --- | ---: | --- | --- | --- |"]
    for place, group in groupby(all_rows(), key=lambda row: row.place):
        rows = list(group)
        best = min(rows, key=_error)
        lines.append(f"| {place} | {len(rows)} | {best.title} | `{best.config}` | {best.paper} |")
    return "\n".join(lines) + "\n"


def _error(row: Row) -> float:
    """The first of the paper's figures, percent: an error, or 100 less the mAP; infinite where a row has neither."""
    if "mAP" not in row.paper and "error" not in row.paper:
        return math.inf
    figure = float(row.paper.split()[0].rstrip(","))
    return 100 - figure if "mAP" in row.paper else figure
