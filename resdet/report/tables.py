"""Tables for the terminal, by rich.

    print_table(ap_table(classes, aps, {"objects": counts}))

AP is in percent with one decimal as in the paper's tables, and a dash where it is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

DASH = "-"
FIRST_COLUMN = 8  # minimum width of the first column on a narrow terminal, in characters
COLUMN_GAP = 3  # characters between two columns
WIDEST = 1000  # maximum width of a line in a file, in characters


def format_ap(ap: float) -> str:
    """AP or recall, 0..1, in percent: 0.7123 -> "71.2"; a dash for NaN (a class without objects)."""
    return DASH if math.isnan(ap) else f"{100 * ap:.1f}"


def format_percent(share: float) -> str:
    """`format_ap` with its unit: 0.7123 -> "71.2 %"; a dash for NaN."""
    return DASH if math.isnan(share) else f"{format_ap(share)} %"


def format_count(count: float) -> str:
    """A number without decimals, with thousands separators: 25557032 -> "25,557,032"."""
    return f"{count:,.0f}"


def results_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table with text in the first column and right-aligned numbers in the others.

    Text is not interpreted as rich's markup. On a narrow terminal only the first column wraps.

    Args:
        title: above the table.
        columns: their names.
        rows: a cell per column, shown as `str` gives it.
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
    """A table with a row per class, and below it the mean AP over the classes with a defined AP.

    Args:
        classes: names, by label.
        aps: AP per class, 0..1 or NaN.
        extra: further columns by name, with a cell per class.
        title: above the table.
    """
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
    """Print a table to `console`, by default to stdout; in a file or a pipe it is as wide as it needs to be.

    In a terminal that is too narrow for all columns, the table is printed in parts, each with the first column.
    """
    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, console.measure(table, options=console.options.update(width=WIDEST)).maximum)
    for part in _parts(table, console.width) if console.is_terminal else [table]:
        console.print(part)


def _parts(table: Table, width: int) -> list[Table]:
    """The table, or if it is wider than `width` characters, parts that are not."""
    cells = [[column.header, *column.cells] for column in table.columns]
    lines = [[line for cell in column for line in str(cell).split("\n")] for column in cells]
    widths = [max(map(cell_len, column)) + COLUMN_GAP for column in lines]
    first = min(widths[0], FIRST_COLUMN + COLUMN_GAP)
    if first + sum(widths[1:]) <= width:
        return [table]
    groups: list[list[int]] = [[]]
    for i in range(1, len(widths)):
        if groups[-1] and first + sum(widths[j] for j in groups[-1]) + widths[i] > width:
            groups.append([])
        groups[-1].append(i)
    return [_part(table, [0, *group], table.title if n == 0 else None) for n, group in enumerate(groups)]


def _part(table: Table, columns: Sequence[int], title: Any) -> Table:
    """Some of the columns; a single one beside the first is folded if it is too wide."""
    whole = len(columns) > 2
    part = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for i in columns:
        c = table.columns[i]
        options: dict[str, Any] = {"no_wrap": c.no_wrap, "overflow": c.overflow} if whole else {"overflow": "fold"}
        part.add_column(c.header, justify=c.justify, min_width=c.min_width, **options)
    cells = [list(table.columns[i].cells) for i in columns]
    for number, row in enumerate(table.rows):
        part.add_row(*(column[number] for column in cells), end_section=row.end_section)
    return part
