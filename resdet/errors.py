"""How a command ends early: a user's mistake, a signal, another process lost. Each is one line on stderr.

Exit codes: 2 a user's mistake; 130 and 143 stopped by SIGINT and SIGTERM; 1 all else, with a traceback.
"""

from __future__ import annotations

import difflib
import re
import signal
from collections.abc import Iterable

TOO_MANY_FILES = 24  # exit code of a loader process that may open no more files to hand over a batch

# Libraries of the system that OpenCV's wheel needs; images of servers and of CUDA lack them.
_OF_OPENCV = re.compile(r"(lib(GL|EGL|glib|gthread|SM|ICE|Xext|X11|xcb)\b[\w.+-]*): cannot open shared object")


class UserError(ValueError):
    """Wrong input that the user can correct. The message is one line: the file or option, what is wrong, what to do."""


class UndecidedError(UserError):
    """A fault with several repairs, of which only the user knows the right one: `inspect-data --fix` leaves it."""


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


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """All names that exist, the most similar to `word` first; upper and lower case are alike."""

    def likeness(name: str) -> float:
        return difflib.SequenceMatcher(None, word.lower(), name.lower()).ratio()

    return sorted(known, key=likeness, reverse=True)


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


def missing_library(error: ImportError) -> str | None:
    """What to do about a library of the system that OpenCV lacks, in one line; None for any other error."""
    found = _OF_OPENCV.search(str(error))
    if found is None:
        return None
    return (
        f"{found[1]}: OpenCV needs this library of the system; install it (Debian, Ubuntu: apt-get install libgl1 "
        "libglib2.0-0), or use the OpenCV that needs none: pip install --force-reinstall opencv-python-headless"
    )
