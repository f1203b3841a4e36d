"""The facts that an exported ONNX file holds as metadata, read without ONNX's packages and without the graph.

read_facts(Path("detector.onnx"))["short"]          # each is JSON in the file: 600
require_exported_detector("detector.onnx")          # the same, of a detector that resdet has exported

An ONNX file is one message of protobuf, ModelProto: fields one after the other, each behind its number and its wire
type. Only the metadata are read; the graph, with the weights, is stepped over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from resdet.errors import UserError

_GRAPH, _METADATA = 7, 14  # fields of ModelProto
_KEY, _VALUE = 1, 2  # fields of one entry of the metadata
_VARINT, _BYTES, _SIZES = 0, 2, {1: 8, 5: 4}  # wire types, and the bytes of those of a fixed size
_LONGEST = 1 << 22  # bytes of an entry; a config of a few thousand characters is the longest that resdet writes


def is_onnx(path: object) -> bool:
    """Whether a path or name is that of an ONNX file."""
    return isinstance(path, str | Path) and Path(path).suffix.lower() == ".onnx"


def require_exported_detector(path: str | Path) -> dict[str, Any]:
    """The facts of an exported detector.

    Args:
        path: of the file.

    Returns:
        "classes" (names, by label), "short" and "long" (sides of the resized image in pixels); of files since resdet
        keeps the config in them also "format" and "config".

    Raises:
        UserError: there is no such file, it is no whole ONNX file, or no detector that resdet has exported.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; write it with 'resdet export'")
    try:
        facts = read_facts(Path(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file's permissions") from None
    except ValueError:
        raise UserError(f"{path}: not a whole ONNX file; export it again with 'resdet export'") from None
    if {"classes", "size", "short"} <= facts.keys():
        what = "an exported classifier or localizer, which runs by its script run_onnx_crop.py alone"
        raise UserError(f"{path}: {what}; for tests give the checkpoint that it was exported from")
    if not {"classes", "short", "long"} <= facts.keys():
        raise UserError(f"{path}: an ONNX file of another program; only detectors of 'resdet export' can be used here")
    return facts


def read_facts(path: Path) -> dict[str, Any]:
    """The metadata of an ONNX file, as values of JSON; None for what is none, which other programs may write.

    Raises:
        ValueError: it is no whole ONNX file.
        OSError: it cannot be read.
    """
    facts, graphs = dict[str, Any](), 0
    with path.open("rb") as file:
        for number, length in _fields(file, path.stat().st_size):
            graphs += number == _GRAPH
            if number == _METADATA and length <= _LONGEST:
                entry = _entry(file.read(length))
                facts[entry.get(_KEY, "")] = _value(entry.get(_VALUE, ""))
    if graphs != 1:
        raise ValueError(f"{path} has {graphs} graphs")
    return facts


def _entry(content: bytes) -> dict[int, str]:
    file = BytesIO(content)
    return {number: file.read(length).decode() for number, length in _fields(file, len(content))}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Number and length of each field of bytes, which then may be read; others are stepped over."""
    while file.tell() < end:
        number, kind = divmod(_varint(file), 8)
        if kind == _VARINT:
            _varint(file)
            continue
        length = _varint(file) if kind == _BYTES else _SIZES.get(kind, end + 1)
        after = file.tell() + length
        if after > end:
            raise ValueError("a field ends behind the message")
        if kind == _BYTES:
            yield number, length
        file.seek(after)


def _varint(file: BinaryIO) -> int:
    """A number in groups of seven bits, the lowest first; the high bit says that more follow."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise ValueError("no number")
