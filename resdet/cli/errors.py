"""The end of every mistake of a user's: one line on stderr and exit code 2. Imports nothing heavy."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from resdet.errors import UserError

# What torch, its allocators and its data loader say when memory is exhausted.
MEMORY = re.compile(
    r"out of memory|can't allocate memory|insufficient shared memory|signal: (Killed|Bus)", re.IGNORECASE
)
LESS_MEMORY = (
    "too little memory; lower data.images (loop.accumulate keeps the step's size), data.resizer.short and .long, "
    "model.head.regions, or data.workers; --precision bf16 takes less than fp32"
)
REMEDIES = {
    errno.EACCES: "change the permissions, or choose another folder",
    errno.EPERM: "change the permissions, or choose another folder",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOSPC: "make room; --resume goes on from the last checkpoint",
    errno.EDQUOT: "make room; --resume goes on from the last checkpoint",
}


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn mistakes that a user can mend into one line on stderr; leave the process group in any case.

    Raises:
        SystemExit: with code 2 for a UserError or for missing memory, disk space or permission; with 130 for Ctrl-C.
    """
    try:
        yield
    except UserError as error:
        _exit(f"error: {_message(error)}")
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _exit(f"error: {where}{error.strerror}; {REMEDIES[error.errno]}")
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        _exit(f"error: {_first_line(error)}: {LESS_MEMORY}")
    except KeyboardInterrupt:
        _exit("interrupted", 130)
    finally:
        _leave_processes()


def _exit(line: str, code: int = 2) -> None:
    print(line, file=sys.stderr)
    sys.exit(code)


def _leave_processes() -> None:
    """Processes have joined only where this module was imported; importing it here would import torch."""
    if "resdet.engine.distributed" in sys.modules:
        from resdet.engine.distributed import close_processes

        close_processes()


def _message(error: UserError) -> str:
    """The message; of an error that a loader's worker raised, without the worker's traceback."""
    text = str(error)
    if not text.startswith("Caught UserError in DataLoader worker"):
        return text
    return text.strip().splitlines()[-1].partition("UserError: ")[2]


def _is_memory(error: Exception) -> bool:
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's, not imported here
    return known or MEMORY.search(str(error)) is not None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
