"""The command `resdet SUBCOMMAND`: parse the arguments, import what the subcommand needs, run it.

main(["train-det", "shapes_det", "--dry-run"])

Arguments are declared without anything heavy (resdet/cli/arguments), so that help and mistakes take no time;
torch, mmengine and OpenCV are imported with the subcommand's code (resdet/cli/commands).
"""

from __future__ import annotations

import inspect
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from resdet import __version__
from resdet.cli.errors import end_process, one_line_errors
from resdet.cli.help_text import WrappingFormatter, wrapped
from resdet.cli.interrupts import end_at_once_on_interrupt, raise_on_interrupt
from resdet.cli.parser import CommandParser
from resdet.cli.subcommands import GROUPS, SUBCOMMANDS, module_name
from resdet.cli.terminal import keep_streams_usable, whole_output
from resdet.errors import UserError, did_you_mean

ABOUT = 'Image classification, detection and localization of "Deep Residual Learning for Image Recognition" (2015).'


def run_process(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand as the main program of this process, which exits soon after a failure, whatever still runs.

    Args:
        arguments: see `main`.
    """
    try:
        main(arguments)
    except SystemExit as end:
        if not end.code:
            raise
        end_process(end.code if isinstance(end.code, int) else 1)
    except KeyboardInterrupt:  # a second one, while the first was dealt with
        end_process(128 + signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        end_process(1)
    finally:
        end_at_once_on_interrupt()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand.

    Args:
        arguments: the subcommand's name and its arguments; None: the command line's.

    Raises:
        SystemExit: with the codes of cli/errors.py.
    """
    keep_streams_usable()
    words = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    with one_line_errors(resumable=words[0].startswith("train-")), whole_output():
        _run(*words)


def _run(first: str, *words: str) -> None:
    if first in ("-h", "--help"):
        print(help_text())
        return
    if first == "--version":
        print(f"resdet {__version__}")
        return
    if first not in SUBCOMMANDS:
        kind = "option" if first.startswith("-") else "command"
        guess = did_you_mean(first, SUBCOMMANDS)
        raise UserError(f"there is no {kind} {first}{guess}; 'resdet --help' lists all commands")
    args = build_parser(first).parse(words)
    args.words = [first, *words]
    command = import_module(f"resdet.cli.commands.{module_name(first)}")
    raise_on_interrupt()
    command.run(args)


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
        formatter_class=WrappingFormatter,
    )
    module.add_arguments(parser)
    return parser


def help_text() -> str:
    """What `resdet --help` prints: every subcommand and what it does, in groups."""
    width = max(map(len, SUBCOMMANDS))
    lines = ["usage: resdet COMMAND [ARGUMENTS]", "", wrapped(ABOUT)]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:", *(wrapped(f"  {name:{width}}  {summary}") for name, summary in group.items())]
    last = "'resdet COMMAND --help' describes a command's arguments; 'resdet --version' prints the version."
    lines += ["", wrapped(last)]
    return "\n".join(lines)
