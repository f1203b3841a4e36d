"""Result files that are whole or not there: written under another name, and renamed when they are complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resdet.errors import UserError

# Another folder mends these; not a full disk.
_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EEXIST)


def write_whole_file(path: str | Path, data: bytes) -> None:
    """Write a file; readers see the old content or the new one. Missing folders are made.

    Raises:
        UserError: the folder cannot be made or written.
        OSError: anything else, such as a full disk.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        if error.errno not in _PLACE:
            raise
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); choose a folder that you may write to"
        ) from None


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give the path of a temporary file beside `path`, which takes its place when the block ends.

    If the block fails, as on a full disk, the temporary file is removed and `path` is as it was. Something that is no
    file, such as /dev/stdout, is written directly.

    Raises:
        OSError: the file cannot be written; `filename` is `path`.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        yield target
        return
    target = target.resolve()  # a link stays one
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")  # another process may write the same file
    try:
        yield partial
        partial.replace(target)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Give the path of a temporary folder beside `path`, whose files go there together when the block ends.

    If the block fails, nothing is left of it; other files in `path` stay in any case.

    Raises:
        OSError: a file cannot be written; `filename` is `path` if no file can.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        yield partial
        target.mkdir(exist_ok=True)
        for file in partial.iterdir():
            file.replace(target / file.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
