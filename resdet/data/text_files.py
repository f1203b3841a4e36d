"""Reading annotation, list and result files: text, lines, csv and numbers, with one error message per cause.

Every reader takes these, so that no file can end in another exception than UserError, whatever its bytes.
"""

from __future__ import annotations

import csv
import math
import os
import re
import reprlib
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from resdet.errors import UserError

LONGEST_QUOTE = 80  # characters of a file's content that a message repeats
LONGEST_PATH = 500  # characters of a path that a message repeats
LONGEST_NAME = 150  # bytes of a class name: it becomes a part of file names
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # Unicode: control characters, lone surrogates, ends of lines
_CELL = 2**31 - 1  # characters of a csv cell; Python's default refuses 131,072
_GIT_LFS = b"version https://git-lfs"
# What exporters write where there is no value, in lower case; pandas and JavaScript write the last ones.
_UNKNOWN = ("", "none", "null", "nan", "n/a", "undefined", "unspecified")
_NO, _YES = ("0", "false", "no", "n", "f"), ("1", "true", "yes", "y", "t")


class _ShortRepr(reprlib.Repr):
    """Shows few elements and levels, so that nested lists, which YAML's aliases make endless, are shown in no time."""

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write integers of more than 4,300 digits.
        return repr(x) if abs(x) < 10**LONGEST_QUOTE else f"a number of more than {LONGEST_QUOTE} digits"


def read_text(path: str | Path, if_missing: str = "check its name") -> str:
    """Read a UTF-8 file, with or without a byte-order mark, or a UTF-16 file with one.

    Args:
        path: the file.
        if_missing: what to do about a missing file, for the message.

    Raises:
        UserError: the file is missing, cannot be read, or has another encoding.
    """
    content = read_bytes(path, if_missing)
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}: not a UTF-8 text file (line {line}); save it as UTF-8, or copy it again") from None


def read_bytes(path: str | Path, if_missing: str = "check its name") -> bytes:
    """Read a file.

    Args:
        path: the file.
        if_missing: what to do about a missing file, for the message.

    Raises:
        UserError: the file is missing, cannot be read, or is a pointer of Git LFS.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {if_missing}") from None
    except OSError as error:
        raise UserError(f"{quoted(path)}: cannot be read ({error.strerror}); check its permissions") from None
    except ValueError:  # a NUL, or a lone surrogate
        raise UserError(f"{quoted(path)}: not the name of a file; {if_missing}") from None
    if content.startswith(_GIT_LFS):
        raise UserError(f"{path}: a pointer of Git LFS instead of the file; run git lfs pull")
    return content


def read_lines(path: str | Path, if_missing: str = "check its name") -> Iterator[tuple[str, str]]:
    """Read the lines of a text file that are not blank, without blanks at their ends.

    Only line feeds and carriage returns end a line: names may contain what str.splitlines also takes for an end.

    Yields:
        "path:number", for messages, and the line.

    Raises:
        UserError: see `read_text`.
    """
    for number, line in enumerate(split_lines(read_text(path, if_missing)), 1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def split_lines(text: str) -> list[str]:
    """The lines of a text without their ends; a last empty line does not count."""
    lines = re.split(r"\r\n|\r|\n", text)
    return lines if lines[-1] else lines[:-1]


def read_csv(
    path: str | Path, header: Sequence[str], if_missing: str = "check its name"
) -> Iterator[tuple[str, list[str]]]:
    """Read the rows of a csv file below its header, without the empty ones.

    Args:
        path: the file.
        header: the cells of the first line.
        if_missing: what to do about a missing file, for the message.

    Yields:
        "path:number" of the row's last line, for messages, and its cells.

    Raises:
        UserError: see `read_text`; the first line is not the header, or a row is not csv.
    """
    csv.field_size_limit(_CELL)
    rows = csv.reader(split_lines(read_text(path, if_missing)))
    try:
        if [cell.strip() for cell in next(rows, [])] != list(header):
            raise UserError(f"{path}: the first line is not '{','.join(header)}'; use the file as published")
        for row in filter(None, rows):
            yield f"{path}:{rows.line_num}", row
    except csv.Error as error:
        raise UserError(f"{path}:{rows.line_num}: not a row of a csv file ({error}); write it again") from None


def finite_number(text: str, where: str | Path, remedy: str) -> float:
    """Read a finite number.

    Args:
        text: as written in the file.
        where: file and place, for the message.
        remedy: what to do about another text, for the message.

    Raises:
        UserError: `text` is not a number, or not a finite one.
    """
    value = number_or_nan(text)
    if not math.isfinite(value):
        raise UserError(f"{where}: {quoted(text.strip())} is not a number; {remedy}")
    return value


def number_or_nan(text: str) -> float:
    """Read a number; NaN for another text, such as Python's own "1_0"."""
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def whole_number(text: str) -> int | None:
    """Read a number of up to 18 digits, which an int64 can hold; None for another text."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def is_unknown(value: object) -> bool:
    """Whether a value of a file stands for none: null, NaN, "" or a word such as "None"."""
    if isinstance(value, str):
        return value.strip().lower() in _UNKNOWN
    return value is None or (isinstance(value, float) and math.isnan(value))


def flag_of(value: object) -> bool | None:
    """A flag as tools write it: 0 and 1 as numbers, texts or booleans, yes and no; unknown values are False.

    Returns:
        The flag; None if the value is no flag.
    """
    if is_unknown(value):
        return False
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _NO or word in _YES:
            return word in _YES
        value = number_or_nan(word)
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def quoted(value: object) -> str:
    """A file's text or value for a message, as Python writes it, cut after `LONGEST_QUOTE` characters."""
    if isinstance(value, (str, Path)):
        text = repr(str(value)[: LONGEST_QUOTE + 1])
    else:
        text = _ShortRepr().repr(value)
    return text if len(text) <= LONGEST_QUOTE + 2 else f"{text[:LONGEST_QUOTE]}..."


def quoted_path(path: str | PurePath, longest: int = LONGEST_PATH) -> str:
    """A path for a message; in quotation marks and cut if it cannot be printed or has more than `longest` letters."""
    text = str(path)
    return text if text.isprintable() and len(text) <= longest else quoted(text)


def is_file(path: str | Path) -> bool:
    """Whether there is a file of this name; False for what cannot be a name, where Path.is_file may raise."""
    return os.path.isfile(path)


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder of this name; False for what cannot be a name."""
    return os.path.isdir(path)


def named_classes(classes: Sequence[str] | None, source: str | Path) -> tuple[str, ...] | None:
    """The argument `classes` of a data set as a tuple; None for None, by which a data set names its classes itself.

    Args:
        classes: names in the order of their labels, or None.
        source: the data set, for the message.

    Raises:
        UserError: it is a single text, whose letters would become classes, or names no class, or one of them is
            unusable (see `check_class_names`).
    """
    if classes is None:
        return None
    if isinstance(classes, str):
        raise UserError(f"{source}: `classes` is the text {quoted(classes)}; give a list of names: [{quoted(classes)}]")
    if not len(classes):
        raise UserError(
            f"{source}: `classes` is {quoted(classes)}, which names no class; name the classes in the order of their "
            "labels, or give None for those of the data set"
        )
    check_class_names(classes, source)
    return tuple(classes)


def check_class_names(names: Sequence[str], source: str | Path) -> None:
    """Refuse class names that could not be told apart, printed, or made a part of the name of a result file.

    Args:
        names: of the classes.
        source: file or folder that they are from, for the message.

    Raises:
        UserError: a name is empty, longer than `LONGEST_NAME` bytes, not printable, or repeated.
    """
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"{source}: the class {quoted(name)} is no text; put it in quotes")
        if not name.strip():
            raise UserError(f"{source}: a class has an empty name; name it")
        if any(unicodedata.category(letter) in _UNPRINTABLE and letter != "\t" for letter in name):
            raise UserError(
                f"{source}: the class name {quoted(name)} has characters that cannot be printed; correct it"
            )
        if len(name.encode()) > LONGEST_NAME:
            raise UserError(f"{source}: the class name {quoted(name)} is longer than {LONGEST_NAME} bytes; shorten it")
        if name in seen:
            raise UserError(f"{source}: the class {quoted(name)} is there twice; names of classes must differ")
        seen.add(name)


def shortest(value: float) -> str:
    """The fewest digits that read back as this float64, without ".0" for whole numbers."""
    return str(int(value)) if value.is_integer() else repr(value)
