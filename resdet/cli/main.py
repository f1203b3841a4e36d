"""The command `resdet SUBCOMMAND`: parse the arguments, import what the subcommand needs, run it.

main(["train-det", "shapes_det", "--dry-run"])
program()           # the same for the command line's arguments; ends the process

Arguments are declared with the standard library alone (resdet/cli/arguments), so that help and mistakes take no time;
torch, mmengine and OpenCV are imported with the subcommand's code (resdet/cli/commands).
"""

from __future__ import annotations

import argparse
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

from resdet import __version__
from resdet.cli.errors import end_process, one_line_errors
from resdet.cli.parser import CommandParser
from resdet.cli.subcommands import GROUPS, SUBCOMMANDS, module_name
from resdet.cli.terminal import keep_streams_usable
from resdet.errors import UserError, did_you_mean

ABOUT = 'Image classification, detection and localization of "Deep Residual Learning for Image Recognition" (2015).'


def program(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand as a process of its own, which has ended soon after a failure, whatever still runs in it.

    Args:
        arguments: see `main`.
    """
    try:
        main(arguments)
    except SystemExit as end:
        if not end.code:
            raise
        end_process(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        traceback.print_exc()
        end_process(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand.

    Args:
        arguments: the subcommand's name and its arguments; None: the command line's.

    Raises:
        SystemExit: with the codes of cli/errors.py.
    """
    keep_streams_usable()
    first, *words = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if first in ("-h", "--help"):
        print(help_text())
        return
    if first == "--version":
        print(f"resdet {__version__}")
        return
    with one_line_errors(resumable=first.startswith("train-")):
        if first not in SUBCOMMANDS:
            kind = "option" if first.startswith("-") else "command"
            guess = did_you_mean(first, SUBCOMMANDS)
            raise UserError(f"there is no {kind} {first}{guess}; 'resdet --help' lists all commands")
        args = build_parser(first).parse(words)
        args.words = [first, *words]
        with _interrupts_at_once():
            command = import_module(f"resdet.cli.commands.{module_name(first)}")
        command.run(args)


@contextmanager
def _interrupts_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process: amid an import a KeyboardInterrupt can be lost, or reported by other packages."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end_at_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(128 + number)


def build_parser(subcommand: str) -> CommandParser:
    """A subcommand's parser.

    Args:
        subcommand: its name: "train-det".
    """
    module = import_module(f"resdet.cli.arguments.{module_name(subcommand)}")
    parser = CommandParser(
        prog=f"resdet {subcommand}",
        description=inspect.cleandoc(module.__doc__ or ""),
        epilog=f"examples:{module.EXAMPLES.rstrip()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def help_text() -> str:
    """What `resdet --help` prints: every subcommand in one line, in groups."""
    width = max(map(len, SUBCOMMANDS))
    lines = ["usage: resdet COMMAND [ARGUMENTS]", "", ABOUT]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:{width}}  {summary}" for name, summary in group.items())]
    lines += ["", "'resdet COMMAND --help' describes a command's arguments; 'resdet --version' prints the version."]
    return "\n".join(lines)
