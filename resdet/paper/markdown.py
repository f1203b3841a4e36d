"""The tables of README.md and docs/PAPER.md, written from the rows between two comments.

    <!-- rows: Table 7 -->
    ...                                    replaced by the rows of Table 7; "rows: summary" has a line for each table
    <!-- end of rows -->

`python -m resdet.paper README.md docs/PAPER.md` brings the files up to date; a test fails where they are not.
"""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from resdet.paper.rows import all_rows, rows_of

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
    """A line for each table and figure: how many rows it has, and its last one (of joint training)."""
    lines = ["| | rows | the last of them | config | paper |", "| --- | ---: | --- | --- | --- |"]
    for place, group in groupby(all_rows(), key=lambda row: row.place):
        rows = list(group)
        last = [row for row in rows if not row.config.endswith("_alternating")][-1]
        lines.append(f"| {place} | {len(rows)} | {last.title} | `{last.config}` | {last.paper} |")
    return "\n".join(lines) + "\n"
