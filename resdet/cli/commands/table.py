"""Run table: print the rows of the paper's tables and figures."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from resdet.cli.common.output import write_json
from resdet.paper.needs import needs_of
from resdet.paper.rows import Row, all_rows, commands_of, rows_of


def run(args: argparse.Namespace) -> None:
    """Print a line for each row, or all about the rows of the given tables."""
    rows = [row for name in args.table for row in rows_of(name)] or list(all_rows())
    if args.table:
        print("\n\n".join(_described(row) for row in rows))
    else:
        _print_lines(rows)
    write_json(args.json, {row.id: asdict(row) | {"commands": commands_of(row)} for row in rows})


def _described(row: Row) -> str:
    commands = commands_of(row)
    lines = [f"{row.id}  ({row.place}: {row.title})", f"  paper     {row.paper}"]
    lines += [f"  measured  {row.measured or 'not yet; docs/RESULTS.md has what was run'}", f"  config    {row.config}"]
    lines += [f"  needs     {need.line}" for need in needs_of(row)]
    lines += [f"  $ {command}" for command in commands]
    lines += [f"  note: {row.note}"] if row.note else []
    return "\n".join(lines)


def _print_lines(rows: list[Row]) -> None:
    width = max(len(row.id) for row in rows)
    for row in rows:
        print(f"{row.id:{width}}  {row.paper:32}  {row.title}")
    ended = Path("runs/reproduced.json")
    print(f"\n{len(rows)} rows. 'resdet table 7' describes a table's rows, 'resdet reproduce ROW' runs one", end="")
    print(f"; {ended} has the commands that have ended here." if ended.is_file() else ".")
