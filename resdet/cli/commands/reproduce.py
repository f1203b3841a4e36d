"""Run reproduce: a row's commands, one after the other."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from resdet.engine.config import read_config
from resdet.paper.needs import needs_of, refuse_missing, start_weights
from resdet.paper.rows import Row, commands_of, find_row, words_of
from resdet.paper.running import Command, images_for, run_commands, show


def run(args: argparse.Namespace) -> None:
    """Run what has not ended yet, or print the commands."""
    row, folder = find_row(args.row), args.work_dir or Path()
    if args.list:
        print("\n".join(show(command, args.processes) for command in _commands(row, folder, args.processes)))
        return
    print(f"{row.place}, {row.title}. The paper: {row.paper}")
    if args.dry_run:
        _dry_run(row, args)
        return
    refuse_missing(needs_of(row, folder), row.id, folder)
    run_commands(_commands(row, folder, args.processes), folder, args.processes)


def _dry_run(row: Row, args: argparse.Namespace) -> None:
    from resdet.paper.dry import dry_commands  # imports torch

    folder = args.work_dir or Path(tempfile.mkdtemp(prefix=f"{row.id}-dry-run-"))
    folder.mkdir(parents=True, exist_ok=True)
    run_commands(dry_commands(row, folder, args.processes), folder, args.processes)
    print(f"dry run: the row's commands work, their figures mean nothing; all of it is in {folder}")


def _commands(row: Row, folder: Path, processes: int) -> list[Command]:
    """The row's commands.

    Trainings download weights that are not there, and have as many images per step as the processes can share evenly.
    """
    return [Command(text, _words(text, folder, processes)) for text in commands_of(row)]


def _words(text: str, folder: Path, processes: int) -> list[str]:
    words = words_of(text)
    if not words[0].startswith("train-"):
        return words
    source = str(read_config(words[1]).get("init_from") or "")
    weights = start_weights(source, folder) if source and "--init-from" not in words else None
    if weights and not weights.there and weights.published not in ("", source):
        words = [*words, "--init-from", weights.published]
    if processes == 1:
        return words
    from resdet.recipes.sections import load_config  # imports torch

    options = images_for(load_config(words[1]), processes)
    return [*words, "--cfg-options", *options] if options else words
