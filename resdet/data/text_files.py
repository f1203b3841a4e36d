"""Reading annotation and result files, with one error message per cause; numbers as such files write them."""

from __future__ import annotations

import math
from pathlib import Path

from resdet.errors import UserError


def read_text(path: str | Path, if_missing: str = "check its name") -> str:
    """Read a UTF-8 file, with or without a byte-order mark.

    Args:
        path: the file.
        if_missing: what to do about a missing file, for the message.

    Raises:
        UserError: the file is missing, cannot be read, or is not UTF-8.
    """
    try:
        return read_bytes(path, if_missing).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a UTF-8 text file; save it as UTF-8, or copy it again") from None


def read_bytes(path: str | Path, if_missing: str = "check its name") -> bytes:
    """Read a file.

    Args:
        path: the file.
        if_missing: what to do about a missing file, for the message.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {if_missing}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def finite_number(text: str, where: str | Path, remedy: str) -> float:
    """Read a finite number.

    Args:
        text: as written in the file.
        where: file and place, for the message.
        remedy: what to do about another text, for the message.

    Raises:
        UserError: `text` is not a number, or not a finite one.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {text.strip()!r} is not a number; {remedy}")
    return value


def shortest(value: float) -> str:
    """The fewest digits that read back as this float64, without ".0" for whole numbers."""
    return str(int(value)) if value.is_integer() else repr(value)
