"""Result files that are whole or not there: written under another name, and renamed when they are complete."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    partial = target.with_name(f".{target.name}.partial")
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
        OSError: a file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield partial
        target.mkdir(exist_ok=True)
        for file in partial.iterdir():
            file.replace(target / file.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
