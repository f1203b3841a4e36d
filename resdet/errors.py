"""The exception for a user's mistakes, which the commands print as a single line with exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Wrong input that the user can correct. The message is one line: the file or option, what is wrong, what to do."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to append to an error message about an unknown name.

    Args:
        word: what the user wrote.
        known: the names that exist.

    Returns:
        " (did you mean a, b or c?)" with up to three similar names, the most similar first; "" if none is similar.
    """
    near = difflib.get_close_matches(word, list(known), n=3)
    if not near:
        return ""
    *others, last = near
    return f" (did you mean {', '.join(others)} or {last}?)" if others else f" (did you mean {last}?)"
