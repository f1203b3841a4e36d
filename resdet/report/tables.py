"""Tables for the terminal (rich) and for Markdown.

    print_table(ap_table(classes, aps, {"objects": counts}))
    print(markdown_table(["class", "AP"], [["apple", format_ap(0.712)]]))

Numbers are shown as the paper's tables show them: AP in percent with one decimal, a dash where it is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

DASH = "-"
FIRST_COLUMN = 8  # characters that stay of it on a narrow terminal
WIDEST = 1000  # characters of a line in a file


def format_ap(ap: float) -> str:
    """An AP or recall in 0..1 as percent, ``0.7123 -> '71.2'``; a dash for NaN (a class without objects)."""
    return DASH if math.isnan(ap) else f"{100 * ap:.1f}"


def format_count(count: float) -> str:
    """A whole number with thousands apart, ``25557032 -> '25,557,032'``."""
    return f"{count:,.0f}"


def results_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table whose first column is text and whose other columns are figures, set to the right.

    Cells are shown as they are, never read as rich's markup. When the terminal is narrow the first column wraps and
    the figures stay whole. The title and the column names may hold any text.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    widest = max((len(row[0]) for row in cells), default=0)
    table.add_column(Text(columns[0]), overflow="fold", min_width=min(widest, FIRST_COLUMN))
    for name in columns[1:]:
        table.add_column(Text(name), justify="right", no_wrap=True, overflow="ellipsis")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return table


def ap_table(
    classes: Sequence[str],
    aps: Sequence[float],
    extra: Mapping[str, Sequence[object]] | None = None,
    title: str = "AP per class",
) -> Table:
    """One row a class with its AP and the `extra` columns, and the mean over the classes whose AP is defined below."""
    extra = extra or {}
    rows = [
        [name, format_ap(ap), *(column[i] for column in extra.values())]
        for i, (name, ap) in enumerate(zip(classes, aps, strict=True))
    ]
    table = results_table(title, ["class", "AP", *extra], rows)
    defined = [ap for ap in aps if not math.isnan(ap)]
    mean = sum(defined) / len(defined) if defined else math.nan
    table.add_section()
    table.add_row(Text("mean", style="bold"), Text(format_ap(mean), style="bold"))
    return table


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table to `console`, by default a fresh one on stdout (colour only where the terminal has it).

    In a file or a pipe, which have no width, it is as wide as it needs.
    """
    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, console.measure(table, options=console.options.update(width=WIDEST)).maximum)
    console.print(table)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A GitHub-style table, the first column to the left and the others to the right; ends without a newline."""
    lines = [_markdown_row(columns), "| " + " | ".join([":--", *["--:"] * (len(columns) - 1)]) + " |"]
    return "\n".join([*lines, *map(_markdown_row, rows)])


def _markdown_row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"
