"""How a command ends early: a user's mistake, a signal, another process lost. Each is one line on stderr.

Exit codes: 2 a user's mistake; 130 and 143 stopped by SIGINT and SIGTERM; 1 all else, with a traceback.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class UserError(ValueError):
    """Wrong input that the user can correct. The message is one line: the file or option, what is wrong, what to do."""


class Stopped(KeyboardInterrupt):
    """SIGINT (Ctrl-C) or SIGTERM asked this process to end. A KeyboardInterrupt, so that `except Exception` lets it by.

    Args:
        number: of the signal.
        message: one line for the user: what was saved, and how to go on.
    """

    def __init__(self, number: int = signal.SIGINT, message: str = "interrupted") -> None:
        super().__init__(message)
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, the code that shells give a process that was ended by it."""
        return 128 + self.number


class LostProcessError(RuntimeError):
    """Another process of this run has died. The message is one line; exit code 1, with which torchrun restarts."""


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
