"""The values of COCO's records: what exporters write for ids, flags, areas and boxes, and what is refused.

    record_id("img_1", "id"), record_id(7.0, "id")       # "img_1", 7
    IdIndex([7, "img_1"]).rows(["7", 7.0, 9])            # [0, 0, -1]: one id in three spellings
    crowd_flag("0"), area_or_none(""), box_of(["1", 2, 3, 4.5])

Every value passes here once, for the reader, the check, the cache and the evaluation alike.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from resdet.data.detection.coco_outlines import enclosing_box
from resdet.data.text_files import flag_of, is_unknown, number_or_nan, quoted

Id = int | str

LONGEST_TEXT = 1024  # characters of a name or an id; numpy's arrays of text take the longest one's memory for each
MOST_DIGITS = 100  # of an id
LARGEST = 1e9  # pixels, of a coordinate: beyond it areas and IoUs lose their meaning
_CANONICAL = re.compile(rf"0|-?[1-9][0-9]{{0,{MOST_DIGITS - 1}}}")
_WHOLE = re.compile(rf"\s*[+-]?[0-9]{{1,{MOST_DIGITS}}}(\.0*)?\s*")
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control characters, lone surrogates


class MalformedError(ValueError):
    """A value that cannot be what its key says. The message follows the name of the record: "has no 'id'"."""


def record_id(value: Any, key: str) -> Id:
    """An id as an int, or as the text that the file has; whole floats are ints.

    Raises:
        MalformedError: missing, or neither a whole number nor a printable text of reasonable length.
    """
    if type(value) is int and abs(value) < 10**MOST_DIGITS:
        return value
    if value is None:
        raise MalformedError(f"has no '{key}'")
    if isinstance(value, float) and value.is_integer():
        return record_id(int(value), key)
    if isinstance(value, str) and value.strip():
        return text_of(value, key)
    raise MalformedError(f"has {key} {quoted(value)}, which is not a number or a text")


def same_id(value: Id) -> Id:
    """The form in which ids are compared: 7 for "7" too. Other texts, "007" among them, are ids of their own."""
    return int(value) if isinstance(value, str) and _CANONICAL.fullmatch(value) else value


class IdIndex:
    """The positions of ids in a list, in whatever way they are written elsewhere.

    An id is found as the list writes it, else by its number, if the list has this number only once: "7.0" and "007"
    mean 7, unless the list has both 7 and "007".
    """

    def __init__(self, ids: Sequence[Id]) -> None:
        self._rows: dict[Id, int] = {}
        self.repeated: list[Id] = []  # ids that the list has before
        for row, value in enumerate(ids):
            if self._rows.setdefault(same_id(value), row) != row:
                self.repeated.append(value)

    def rows(self, ids: Sequence[Id], exactly: bool = False) -> np.ndarray:
        """The position of each id, int64 [n]; -1 for ids that the list does not have.

        Args:
            ids: to look for.
            exactly: only as the list writes them, because it is a part of the list that they refer to.
        """
        find = self._rows.get
        keys = ids if set(map(type, ids)) <= {int} else [same_id(value) for value in ids]
        rows = np.fromiter((find(key, -1) for key in keys), np.int64, len(keys))
        for place in [] if exactly else np.flatnonzero(rows < 0).tolist():
            key = self.key(keys[place])
            rows[place] = -1 if key is None else self._rows[key]
        return rows

    def key(self, value: Id) -> Id | None:
        """The listed id that is meant, as `same_id` writes it; None if the list does not have it."""
        key = same_id(value)
        if key in self._rows:
            return key
        found = self._by_number.get(_number_of(key), [])
        return found[0] if len(found) == 1 else None

    @property
    def similar(self) -> list[tuple[Id, Id]]:
        """Pairs of different ids with the same number: 7 and "007"."""
        return [(found[0], found[1]) for found in self._by_number.values() if len(found) > 1]

    @cached_property
    def _by_number(self) -> dict[int | None, list[Id]]:
        found: dict[int | None, list[Id]] = defaultdict(list)
        for key in self._rows:
            found[_number_of(key)].append(key)
        found.pop(None, None)
        return dict(found)


def _number_of(value: Id) -> int | None:
    """The number that an id writes; None for other texts."""
    if not isinstance(value, str):
        return value
    return int(value.partition(".")[0]) if _WHOLE.fullmatch(value) else None


def id_array(ids: Sequence[Id]) -> np.ndarray:
    """Ids as an array: int64 [n], or Python objects if one is a text or beyond 64 bits."""
    if all(type(value) is int and -(2**63) <= value < 2**63 for value in ids):
        return np.array(ids, np.int64)
    array = np.empty(len(ids), object)
    array[:] = ids
    return array


def text_of(value: Any, key: str) -> str:
    """A text that can be printed; numbers are taken as they are written.

    Raises:
        MalformedError: missing, something else, too long, or with characters that cannot be printed.
    """
    if value is None:
        raise MalformedError(f"has no '{key}'")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = quoted(value)
    if not isinstance(value, str):
        raise MalformedError(f"has {key} {quoted(value)}, which is not a text")
    if len(value) > LONGEST_TEXT:
        raise MalformedError(f"has a {key} of {len(value)} characters, {quoted(value)}; {LONGEST_TEXT} are allowed")
    if _UNPRINTABLE.search(value):
        raise MalformedError(f"has {key} {quoted(value)}, with characters that cannot be printed")
    return value


def finite(value: Any) -> float:
    """A finite number, also as text; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = number_or_nan(value) if isinstance(value, str) else float(value)
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def side_of(value: Any, key: str) -> int:
    """A width or height in pixels, rounded as in VOC's files; 0 where it is not known, or not above zero.

    Raises:
        MalformedError: not a number.
    """
    if is_unknown(value):
        return 0
    number = finite(value)
    if math.isnan(number):
        raise MalformedError(f"has {key} {quoted(value)}, which is not a number of pixels")
    return round(number) if 0 < number < 2**31 else 0


def crowd_flag(value: Any) -> bool:
    """The flag iscrowd, see `flag_of`.

    Raises:
        MalformedError: it is no flag.
    """
    flag = flag_of(value)
    if flag is None:
        raise MalformedError(f"has iscrowd {quoted(value)}, which is neither 0 nor 1")
    return flag


def area_or_none(value: Any) -> float | None:
    """An area in pixels; None where it is not known, or negative.

    Raises:
        MalformedError: not a number.
    """
    if is_unknown(value):
        return None
    area = finite(value)
    if not area <= LARGEST**2:
        raise MalformedError(f"has area {quoted(value)}, which is not a number of pixels")
    return area if area >= 0 else None


def box_of(value: Any, outline: Callable[[], Any] | None = None) -> list[float]:
    """A box (x, y, width, height): four numbers, also as texts or as one text; without them that around the outline.

    Args:
        value: the record's bbox.
        outline: returns the record's segmentation: polygons or a run-length code.

    Raises:
        MalformedError: neither gives a box.
    """
    parts = value
    if isinstance(value, str):
        parts = value.strip("[]() \t").replace(",", " ").split()
    if is_unknown(value) or (isinstance(parts, list) and all(map(is_unknown, parts))):
        box = None if outline is None else enclosing_box(outline())
        if box is None or not all(abs(number) <= LARGEST for number in box):
            raise _no_box(value)
        return box
    if not isinstance(parts, list) or len(parts) != 4:
        raise _no_box(value)
    box = [finite(part) for part in parts]
    if not all(abs(number) <= LARGEST for number in box):
        raise _no_box(value)
    return box


def four_numbers(boxes: Sequence[Any]) -> np.ndarray | None:
    """Boxes as float64 [n, 4] if each is a list of four numbers, as nearly all files have them; else None."""
    if not all(type(box) is list and len(box) == 4 for box in boxes):
        return None
    array = plain_numbers(list(chain.from_iterable(boxes)))
    return array.reshape(-1, 4) if array is not None and (np.abs(array) <= LARGEST).all() else None


def plain_numbers(values: Sequence[Any]) -> np.ndarray | None:
    """Values as float64 [n] if all are numbers; else None. They may be infinite or NaN."""
    if not set(map(type, values)) <= {int, float}:
        return None
    try:
        return np.array(values, np.float64)
    except OverflowError:
        return None


def _no_box(value: Any) -> MalformedError:
    if value is None:
        return MalformedError("has neither a bbox nor a segmentation that gives one")
    return MalformedError(f"has bbox {quoted(value)}, not x, y, width, height")
