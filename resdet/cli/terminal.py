"""stdout and stderr that may be closed, or whose reader may leave: `resdet train-det | head` trains to its end."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

GONE = (errno.EPIPE, errno.EIO)  # the reader of a pipe has left; the terminal was closed


def keep_streams_usable() -> None:
    """Open the null device in place of closed standard streams, and write to it once a reader has left.

    Without this the next file that is opened becomes stdout, and a closed pipe ends the command before its files are
    written. Streams that are not the process's own, as in a test or a notebook, are left alone.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    sys.stdout = _usable(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _usable(sys.stderr, sys.__stderr__, 2)


def _usable(stream: TextIO | None, original: TextIO | None, descriptor: int) -> TextIO:
    if stream is None:
        return open(os.devnull, "w")  # for the rest of the process
    if stream is not original or not isinstance(stream, io.TextIOWrapper) or stream.fileno() != descriptor:
        return stream
    stream.flush()
    pipe = _Pipe(descriptor, "wb", closefd=False)
    unbuffered = isinstance(stream.buffer, io.RawIOBase)  # python -u, PYTHONUNBUFFERED
    return io.TextIOWrapper(
        pipe if unbuffered else io.BufferedWriter(pipe),  # as CPython itself does with -u
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Pipe(io.FileIO):
    """A stream that goes on to the null device when its reader has left."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in GONE:
                raise
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        return memoryview(data).nbytes
