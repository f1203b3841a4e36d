"""Numbers of a range as arguments, checked like the values of a config.

add_number(parser, "--threshold", Share, "lowest score", default=0.5)      # --threshold 1.5 is refused
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, get_args

from resdet.engine.annotations import describe
from resdet.engine.typed import check
from resdet.errors import UserError


def add_number(
    parser: argparse._ActionsContainer, name: str, wanted: Any, text: str, default: float | None = None, **options: Any
) -> None:
    """An option whose value is a number of a range.

    Args:
        parser: a parser or a group of its arguments, which gets the option.
        name: the option: "--threshold".
        wanted: a range of resdet/ranges.py, of integers or of other numbers.
        text: its help; the default is added to it.
        default: the value where the option is left out.
        options: further options of `add_argument`: metavar, nargs, const.
    """
    told = text if default is None else f"{text} (default: %(default)s)"
    parser.add_argument(name, type=number(wanted), default=default, help=told, **options)


def number(wanted: Any) -> Callable[[str], Any]:
    """What makes a number of an argument's text, for the `type` of `add_argument`.

    Args:
        wanted: a range of resdet/ranges.py, of integers or of other numbers.
    """
    kind = get_args(wanted)[0]

    def convert(text: str) -> Any:
        try:
            return check(kind(text), wanted, text)
        except (ValueError, UserError):  # a UserError is a ValueError
            raise argparse.ArgumentTypeError(f"{text!r}; wanted: {describe(wanted)}") from None

    return convert
