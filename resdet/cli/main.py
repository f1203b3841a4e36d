"""The command `resdet SUBCOMMAND`: parse the arguments, import what the subcommand needs, run it.

main(["train-det", "shapes_det", "--dry-run"])

Arguments are declared with the standard library alone (resdet/cli/arguments), so that help and mistakes take no time;
torch, mmengine and OpenCV are imported with the subcommand's code (resdet/cli/commands).
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from importlib import import_module

from resdet import __version__
from resdet.cli.errors import one_line_errors
from resdet.cli.parser import CommandParser
from resdet.cli.subcommands import GROUPS, SUBCOMMANDS, module_name
from resdet.errors import UserError, did_you_mean

ABOUT = 'Image classification, detection and localization of "Deep Residual Learning for Image Recognition" (2015).'


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand.

    Args:
        arguments: the subcommand's name and its arguments; None: the command line's.

    Raises:
        SystemExit: with code 2 after a mistake of the user's (one line on stderr), with 130 after Ctrl-C.
    """
    first, *words = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if first in ("-h", "--help"):
        print(help_text())
        return
    if first == "--version":
        print(f"resdet {__version__}")
        return
    with one_line_errors():
        if first not in SUBCOMMANDS:
            kind = "option" if first.startswith("-") else "command"
            guess = did_you_mean(first, SUBCOMMANDS)
            raise UserError(f"there is no {kind} {first}{guess}; 'resdet --help' lists all commands")
        args = build_parser(first).parse(words)
        import_module(f"resdet.cli.commands.{module_name(first)}").run(args)


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
