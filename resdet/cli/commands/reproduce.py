"""Run reproduce: a row's commands, one after the other."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from resdet.errors import UserError
from resdet.paper.rows import Row, commands_of, find_row, words_of
from resdet.paper.running import Command, images_for, run_commands, show


def run(args: argparse.Namespace) -> None:
    """Run what has not ended yet, or print the commands."""
    if args.processes < 1:
        raise UserError(f"--processes {args.processes}: give a number of processes, 1 or more")
    row = find_row(args.row)
    if args.list:
        print("\n".join(show(command, args.processes) for command in _commands(row, args.processes)))
        return
    print(f"{row.place}, {row.title}. The paper: {row.paper}")
    if args.dry_run:
        _dry_run(row, args)
        return
    run_commands(_commands(row, args.processes), args.work_dir or Path(), args.processes)


def _dry_run(row: Row, args: argparse.Namespace) -> None:
    from resdet.paper.dry import dry_commands  # imports torch

    folder = args.work_dir or Path(tempfile.mkdtemp(prefix=f"{row.id}-dry-run-"))
    folder.mkdir(parents=True, exist_ok=True)
    run_commands(dry_commands(row, folder, args.processes), folder, args.processes)
    print(f"dry run: the row's commands work, their figures mean nothing; all of it is in {folder}")


def _commands(row: Row, processes: int) -> list[Command]:
    """The row's commands; trainings with as many images a step as the processes can share evenly."""
    return [Command(text, _words(text, processes)) for text in commands_of(row)]


def _words(text: str, processes: int) -> list[str]:
    words = words_of(text)
    if processes == 1 or not words[0].startswith("train-"):
        return words
    from resdet.recipes.sections import load_config  # imports torch

    options = images_for(load_config(words[1]), processes)
    return [*words, "--cfg-options", *options] if options else words
