"""COCO's JSON files decoded by msgspec: instances, and results.

    content = read_content(path)                        # Content: images, annotations and categories as records
    results = read_result_records(path)

What strict JSON refuses but Python reads (NaN, UTF-16, lone surrogates, endless integers) is read more slowly, to name
its record. Keys that an object has twice are refused (repeated_keys.py).
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from resdet.data.detection.coco_records import NOTHING, Category, Content, Image, Object, Result
from resdet.data.detection.repeated_keys import LARGE, refuse_repeated_fields, refuse_repeated_keys, unique_keys
from resdet.data.text_files import quoted, read_bytes
from resdet.errors import UserError

_BOM = b"\xef\xbb\xbf"
_MOST_DIGITS = 4000  # Python refuses to convert integers of more than 4,300 digits; longer ones stay texts
T = TypeVar("T")


class _Images(msgspec.Struct):
    images: list[Image] | None = None
    categories: list[Category] | None = None


_CONTENT, _IMAGES = msgspec.json.Decoder(Content), msgspec.json.Decoder(_Images)
_RESULTS = msgspec.json.Decoder(list[Result])
_NESTED = ("segmentation", "attributes")  # not decoded; keys in them may have the names of fields
# Fields of the records of each list that are decoded.
_LISTS = {
    "images": Image.__struct_fields__,
    "annotations": tuple(name for name in Object.__struct_fields__ if name not in _NESTED),
    "categories": Category.__struct_fields__,
}
_FIELDS = [*_LISTS, *Object.__struct_fields__, *Image.__struct_fields__, "name", "score"]


def read_content(path: Path, annotated: bool = True) -> Content:
    """Decode a file of instances.

    Args:
        path: the JSON file.
        annotated: False ignores the file's annotations.

    Raises:
        UserError: no such file, not JSON, or without lists of images, annotations and categories.
    """
    data = _bytes_of(path, "check the root and the name of the set")
    with _without_collection():
        try:
            decoded = (_CONTENT if annotated else _IMAGES).decode(data)
            lists = {
                key: (getattr(decoded, key) or (), fields) for key, fields in _LISTS.items() if hasattr(decoded, key)
            }
            refuse_repeated_keys(path, data, lists)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            decoded = _content_of(path, _decode_leniently(path, data, "download or write it again"))
    annotations = decoded.annotations if annotated and isinstance(decoded, Content) else []
    content = Content(decoded.images, annotations, decoded.categories)
    for key in ("images", "annotations", "categories"):
        if getattr(content, key) is None:
            raise UserError(f"{path}: has no list '{key}'; this is not a file of COCO instances")
    if not content.images:
        raise UserError(f"{path}: has no images; choose another set")
    if not content.categories:
        raise UserError(f"{path}: has no categories; list the classes of its objects")
    return content


def read_result_records(path: Path) -> list[Result]:
    """Decode a file of results; UserError if there is none, or it is not a list of records."""
    data = _bytes_of(path, "give a file of COCO results")
    with _without_collection():
        try:
            records = _RESULTS.decode(data)
            if len(data) < LARGE:
                refuse_repeated_fields(path, data, "results", (records, Result.__struct_fields__))
            return records
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            items = _decode_leniently(path, data, "write the results again")
    if not isinstance(items, list):
        raise UserError(f"{path}: not a list; results are a list of image_id, category_id, bbox and score")
    return [_record(path, Result, item, row, "result") for row, item in enumerate(items)]


@contextmanager
def _without_collection() -> Iterator[None]:
    """Python's garbage collection would look through millions of new objects again and again, in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        (gc.enable if enabled else gc.disable)()


def _bytes_of(path: Path, if_missing: str) -> memoryview:
    data = read_bytes(path, if_missing)
    return memoryview(data)[len(_BOM) if data.startswith(_BOM) else 0 :]


def _decode_leniently(path: Path, data: memoryview, remedy: str) -> Any:
    try:
        return json.loads(bytes(data), parse_int=_integer, object_pairs_hook=partial(unique_keys, path, _FIELDS))
    except UserError:
        raise
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a UTF-8 text file; save it as UTF-8, or {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({str(error)[:200]}); {remedy}") from None


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _content_of(path: Path, content: Any) -> Content:
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a list; annotations are an object with images, annotations and categories")
    return Content(
        _records_of(path, content, "images", Image),
        _records_of(path, content, "annotations", Object),
        _records_of(path, content, "categories", Category),
    )


def _records_of(path: Path, content: dict[str, Any], key: str, kind: type[T]) -> list[T] | None:
    items = content.get(key)
    if not isinstance(items, list):
        return None
    return [_record(path, kind, item, row, key) for row, item in enumerate(items)]


def _record(path: Path, kind: type[T], item: Any, row: int, key: str) -> T:
    if not isinstance(item, dict):
        raise UserError(f"{path}: {key}[{row}] is {quoted(item)}, not an object of JSON; correct the file")
    fields = {name: item[name] for name in kind.__struct_fields__ if name in item}  # type: ignore[attr-defined]
    for name in fields.keys() & set(_NESTED):
        fields[name] = _raw(fields[name])
    return kind(**fields)


def _raw(value: Any) -> msgspec.Raw:
    try:
        return msgspec.Raw(json.dumps(value).encode())
    except RecursionError:
        return NOTHING
