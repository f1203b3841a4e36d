"""How every command ends: the exit code, one line on stderr or a traceback, and no process left behind.

Exit codes: 0; 2 a user's mistake, missing memory, disk space or permission; 130 and 143 stopped by SIGINT and SIGTERM;
1 all else. What is printed on stderr is in the run's log too. Imports nothing heavy.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from resdet.errors import TOO_MANY_FILES, LostProcessError, Stopped, UserError, missing_library

# What torch, its allocators and its data loader say when memory is exhausted.
MEMORY = re.compile(
    r"out of memory|can't allocate memory|insufficient shared memory|signal: (Killed|Bus)", re.IGNORECASE
)
# What torch says when the limit of open files ends a loader process, or the main process's talk to one.
FILES = re.compile(rf"too many open files|exit code {TOO_MANY_FILES}\b", re.IGNORECASE)
LESS_MEMORY = (
    "too little memory; lower data.images or raise loop.accumulate (fewer images per pass, the same step), lower "
    "data.resizer.short and .long, model.head.regions, or data.workers; --precision bf16 takes less than fp32"
)
MORE_SHARED_MEMORY = (
    "too little shared memory (/dev/shm), through which loader processes hand over batches; give a container more "
    "(docker run --shm-size 8g, or --ipc=host), lower data.workers, or set data.workers=0"
)
PERMISSION = "change the permissions, or choose another folder"
REMEDIES = {
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
    errno.EROFS: "choose a folder that can be written to",
    errno.EISDIR: "a folder is where a file is meant: move it away, or choose another name",
    errno.ENOTDIR: "a file is where a folder is meant: move it away, or choose another name",
    errno.EEXIST: "a file is where a folder is meant: move it away, or choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or lower data.workers",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
}
FULL = (errno.ENOSPC, errno.EDQUOT)
DOUBTFUL = (errno.EISDIR, errno.EEXIST)  # may be the program's own mistake: the log has the traceback
LEAVING = 5.0  # seconds: leaving the process group of processes that may be dead
ENDING = 12.0  # seconds: from the end of a failed command to the end of its process


@contextmanager
def one_line_errors(resumable: bool = False) -> Iterator[None]:
    """Turn mistakes that a user can mend, and signals, into one line on stderr; leave the process group in any case.

    Args:
        resumable: whether the command goes on with --resume, for the remedies.

    Raises:
        SystemExit: with the codes above; anything else is raised again, with its traceback in the run's log.
    """
    before = _raise_on_sigterm()
    failed = True
    try:
        with _lost_processes_explained():
            yield
        failed = False
    except (Exception, KeyboardInterrupt) as error:
        if before is not None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, after any failure: this process ends too
        _end(error, resumable)
        raise
    finally:
        _leave_processes(failed)
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _end(error: BaseException, resumable: bool) -> None:
    """Exit with one line for what a user can mend and for signals; return after logging anything else."""
    if isinstance(error, KeyboardInterrupt) and isinstance(error.__context__, LostProcessError):
        error = error.__context__  # torchrun's SIGTERM, while this process was already ending
    if isinstance(error, UserError):
        _exit(f"error: {_message(error)}")
    if isinstance(error, LostProcessError):
        _exit(f"error: {error}", 1)
    if isinstance(error, KeyboardInterrupt):
        stopped = error if isinstance(error, Stopped) else Stopped()
        _exit(str(stopped), stopped.exit_code)
    line = _mendable(error, resumable)
    if line is not None:
        if isinstance(error, OSError) and error.errno in DOUBTFUL:
            _log("where the error below came from", error)
        _exit(f"error: {line}")
    _log("the run ends by an error of the program", error)


def _raise_on_sigterm() -> signal.Handlers | None:
    """Let SIGTERM end the command like Ctrl-C, with its clean-up; returns the handler to restore, if any."""
    default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not default or threading.current_thread() is not threading.main_thread():
        return None
    signal.signal(signal.SIGTERM, _terminate)
    return signal.SIG_DFL


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Stopped(number, "terminated")


@contextmanager
def _lost_processes_explained() -> Iterator[None]:
    """An exchange can fail anywhere: in an evaluation, while a page is written."""
    try:
        yield
    except RuntimeError:
        if "resdet.engine.distributed" not in sys.modules:  # processes have joined only where it was imported
            raise
        from resdet.engine.distributed import explain_lost_process

        with explain_lost_process():
            raise


def _mendable(error: BaseException, resumable: bool) -> str | None:
    """The line for missing memory, space, permission or libraries, or a wrong path; None for any other error."""
    if isinstance(error, ImportError):
        return missing_library(error)
    if isinstance(error, RuntimeError) and FILES.search(str(error)):
        error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if isinstance(error, OSError) and error.errno in REMEDIES:
        where = f"{error.filename}: " if error.filename else ""
        remedy = REMEDIES[error.errno]
        if resumable and error.errno in FULL:
            remedy += "; --resume goes on from the last checkpoint"
        return f"{where}{error.strerror}; {remedy}"
    if isinstance(error, MemoryError | RuntimeError) and _is_memory(error):
        line = _first_line(error)
        return f"{line}: {MORE_SHARED_MEMORY if re.search('shared memory|Bus', line) else LESS_MEMORY}"
    return None


def _exit(line: str, code: int = 2) -> NoReturn:
    _log(line)
    print(line, file=sys.stderr, flush=True)
    sys.exit(code)


def _log(line: str, error: BaseException | None = None) -> None:
    """Write a line, and an error's traceback, to the run's log alone: stderr has it already, or may be closed."""
    trace = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord("resdet", logging.ERROR, __file__, 0, line, None, trace)
    for handler in logging.getLogger("resdet").handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def _leave_processes(failed: bool) -> None:
    """Leave the process group; after a failure in bounded time, since the others may be dead or waiting."""
    if "resdet.engine.distributed" not in sys.modules:
        return
    from resdet.engine.distributed import close_processes

    if not failed:
        close_processes()
        return
    leaving = threading.Thread(target=close_processes, daemon=True)
    leaving.start()
    leaving.join(LEAVING)


def end_process(code: int) -> NoReturn:
    """End this process with this exit code: what is registered for its end runs, but for `ENDING` seconds at most.

    Python's own end would wait for all threads, and for NCCL's connections to processes that are gone.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    limit = threading.Timer(ENDING, os._exit, [code])
    limit.daemon = True
    limit.start()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _message(error: Exception) -> str:
    """The message; of an error that a loader's worker raised, without the worker's traceback."""
    text, name = str(error).strip(), type(error).__name__
    if not text.startswith(f"Caught {name} in DataLoader worker"):
        return text
    return text.splitlines()[-1].partition(f"{name}: ")[2]


def _is_memory(error: Exception) -> bool:
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's, not imported here
    return known or MEMORY.search(str(error)) is not None


def _first_line(error: Exception) -> str:
    return (_message(error) or type(error).__name__).splitlines()[0].rstrip(". ")
