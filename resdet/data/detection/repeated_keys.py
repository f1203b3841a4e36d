"""Keys that an object of JSON has twice, of which every JSON reader keeps the last without a word.

    refuse_repeated_keys(path, data, {"images": (images, ("id", "file_name"))})     # after `data` was decoded

Merging files by hand gives a second "images" and loses the first. The whole file's own keys are compared always, at the
cost of one pass that builds nothing; those of each record in files below `LARGE`, where a count of the key's text in
the list finds out whether a closer look is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np

from resdet.data.text_files import quoted
from resdet.errors import UserError

LARGE = 20_000_000  # bytes
_OBJECT, _LIST = msgspec.json.Decoder(dict[str, msgspec.Raw]), msgspec.json.Decoder(list[msgspec.Raw])
_KEY = re.compile(rb'\s*[{,]\s*("(?:[^"\\]|\\.)*")\s*:\s*', re.DOTALL)  # what is between two values of an object

Records = tuple[Sequence[Any], Sequence[str]]  # decoded records, and the names of their fields


def refuse_repeated_keys(path: Path, data: memoryview, lists: Mapping[str, Records]) -> None:
    """Look for repeated keys in a file that is one object of lists of records.

    Args:
        path: the file, for messages.
        data: its content, valid JSON in UTF-8.
        lists: for the names of lists their records and the fields that are compared.

    Raises:
        UserError: a key is there twice; it is named, and the record's place in its list, from 0.
    """
    spans = _OBJECT.decode(data)
    base, end = _address(data), 0
    for value in sorted(spans.values(), key=_address):
        start = _address(value) - base
        if not _KEY.fullmatch(data, end, start):  # another value is in between, which the later one replaced
            found = _KEY.match(data, end)
            _refuse(path, "the file", json.loads(found[1]) if found else "a key")
        end = start + len(memoryview(value))
    if len(data) < LARGE:
        for name, records in lists.items():
            if name in spans:
                refuse_repeated_fields(path, memoryview(spans[name]), name, records)


def refuse_repeated_fields(path: Path, data: memoryview, name: str, records: Records) -> None:
    """Look for repeated keys in the records of a list.

    Args:
        path: the file, for messages.
        data: the list, valid JSON in UTF-8.
        name: of the list, for messages.
        records: decoded from it, and their fields.

    Raises:
        UserError: as `refuse_repeated_keys`.
    """
    text, (decoded, fields) = bytes(data), records
    doubtful = [
        field
        for field in fields
        if text.count(f'"{field}"'.encode()) != sum(getattr(record, field) is not None for record in decoded)
    ]
    if not doubtful:
        return
    wanted = [f'"{field}"'.encode() for field in doubtful]
    for row, value in enumerate(_LIST.decode(data)):
        record = bytes(memoryview(value))
        if any(record.count(field) > 1 for field in wanted):
            _check_record(path, f"{name}[{row}]", json.loads(record, object_pairs_hook=list, parse_int=str), doubtful)


def unique_keys(path: Path, keys: Sequence[str], pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of an object's pairs, for the `object_pairs_hook` of `json.loads`.

    Raises:
        UserError: one of `keys` is there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        _check_record(path, "an object", pairs, keys)
    return found


def _check_record(path: Path, where: str, pairs: Sequence[tuple[str, Any]], fields: Sequence[str]) -> None:
    names = [name for name, _ in pairs]
    again = next((field for field in fields if names.count(field) > 1), None)
    if again is not None:
        _refuse(path, where, again)


def _refuse(path: Path, where: str, key: str) -> NoReturn:
    raise UserError(f"{path}: {where} has {quoted(key)} twice, of which one would be lost; keep one, or join them")


def _address(value: Any) -> int:
    """Where the bytes of a buffer begin in memory; msgspec's Raw is a view of what it was decoded from."""
    return int(np.frombuffer(value, np.uint8).__array_interface__["data"][0])
