"""Paths that a command writes to, as arguments: what cannot be written is refused before hours of work, not after."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any


def add_output(parser: argparse._ActionsContainer, name: str, metavar: str, text: str, **options: Any) -> None:
    """An option whose value is the path of a file or a folder that the command writes.

    Args:
        parser: a parser or a group of its arguments, which gets the option.
        name: the option: "--json".
        metavar: "DIR" for a folder, else a file.
        text: its help.
        options: further options of `add_argument`: required, default, nargs, const.
    """
    wanted = _folder if metavar == "DIR" else _file
    parser.add_argument(name, type=wanted, metavar=metavar, help=text, **options)


class FirstIsOutput(argparse.Action):
    """The action of an option of several paths, the first of which is a file that the command writes."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Store the paths.

        Raises:
            ArgumentError: the file cannot be written.
        """
        try:
            _file(str(values[0]))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, values)


def _file(text: str) -> Path:
    if Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; give the name of a file")
    return _writable(Path(text))


def _folder(text: str) -> Path:
    if Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text} is a file; give the name of a folder")
    return _writable(Path(text))


def _writable(path: Path) -> Path:
    """The path itself, unless the folder that it is written in, or itself if it is a folder, takes no new file."""
    target = Path(os.path.realpath(path))  # a link's file is what is written
    if target.exists() and not target.is_file() and not target.is_dir():  # a device or a pipe
        return path
    candidates = target.parents if target.is_file() else (target, *target.parents)
    above = next(found for found in candidates if found.exists())
    if not above.is_dir():
        raise argparse.ArgumentTypeError(f"{path} would be in {above}, which is a file; choose another folder")
    if not os.access(above, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise argparse.ArgumentTypeError(f"{path} cannot be written: no permission for {above}; choose another folder")
    return path
