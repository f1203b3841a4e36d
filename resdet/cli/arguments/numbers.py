"""Numbers of a range as arguments, checked like the values of a config.

parser.add_argument("--threshold", type=number(Share))      # --threshold 1.5 is refused
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, get_args

from resdet.engine.annotations import describe
from resdet.engine.typed import check
from resdet.errors import UserError


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
