"""stdout and stderr that may be closed or full, or whose reader may leave: `resdet train-det | head` trains to its end.

What their encoding lacks is written as \\xc4 or \\u4e2d.

keep_streams_usable()
with whole_output():
    print("a line")
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from resdet.errors import UserError

GONE = (errno.EPIPE, errno.EIO)  # the reader of a pipe has left; the terminal was closed


def keep_streams_usable() -> None:
    """Open the null device in place of closed standard streams, and write to it once a stream takes no more.

    Without this the next file that is opened becomes stdout, and a closed pipe or a full disk ends the command before
    its files are written. Streams that are not the process's own, as in a test or a notebook, are left alone.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    sys.stdout = _usable(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _usable(sys.stderr, sys.__stderr__, 2)


@contextmanager
def whole_output() -> Iterator[None]:
    """Refuse, at the end of a command that has succeeded, that a part of its output could not be written.

    Raises:
        UserError: stdout was on a full disk. A reader that has left is no mistake.
    """
    try:
        yield
    except SystemExit as end:
        if not end.code:
            _refuse_lost_output()
        raise
    _refuse_lost_output()


def _refuse_lost_output() -> None:
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    pipe = getattr(buffer, "raw", buffer)
    if isinstance(pipe, _Pipe) and pipe.lost:
        raise UserError(
            f"stdout cannot be written to ({pipe.lost}): the output on stdout is incomplete; all files were written"
        )


def _usable(stream: TextIO | None, original: TextIO | None, descriptor: int) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # for the rest of the process
    if stream is not original or not isinstance(stream, io.TextIOWrapper) or stream.fileno() != descriptor:
        return stream
    stream.flush()
    pipe = _Pipe(descriptor, "wb", closefd=False)
    unbuffered = isinstance(stream.buffer, io.RawIOBase)  # python -u, PYTHONUNBUFFERED
    return io.TextIOWrapper(
        pipe if unbuffered else io.BufferedWriter(pipe),  # as CPython itself does with -u
        stream.encoding,
        "backslashreplace",  # names that this terminal cannot show, as stderr does: no reason to end a training
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Pipe(io.FileIO):
    """A stream that goes on to the null device when it takes no more.

    Attributes:
        lost: why, if it was not that its reader has left.
    """

    lost = ""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in GONE:
                self.lost = error.strerror or type(error).__name__
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        return memoryview(data).nbytes
