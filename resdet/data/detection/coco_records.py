"""The records of COCO's JSON files, decoded by msgspec: instances, and results.

    content = read_content(path)                        # Content: images, annotations and categories as records
    image, category, box, area, crowd = object_values(content.annotations[0])
    results = read_result_records(path)

Only what a detector needs is decoded; polygons, most of train2017's 450 MB, only for objects without a box. What strict
JSON refuses but Python reads (NaN, UTF-16, lone surrogates, endless integers) is read more slowly, to name its record.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from resdet.data.detection.coco_values import (
    Id,
    MalformedError,
    area_or_none,
    box_of,
    crowd_flag,
    record_id,
    side_of,
    text_of,
)
from resdet.data.text_files import is_unknown, quoted, read_bytes
from resdet.errors import UserError

_BOM = b"\xef\xbb\xbf"
_NOTHING = msgspec.Raw(b"null")
_MOST_DIGITS = 4000  # Python refuses to convert integers of more than 4,300 digits; longer ones stay texts


class Category(msgspec.Struct, gc=False):
    """A record of `categories`; values are as in the file, None for those it lacks."""

    id: Any = None
    name: Any = None
    supercategory: Any = None


class Image(msgspec.Struct, gc=False):
    """A record of `images`."""

    id: Any = None
    file_name: Any = None
    height: Any = None
    width: Any = None


class Object(msgspec.Struct, gc=False):
    """A record of `annotations`."""

    id: Any = None
    image_id: Any = None
    category_id: Any = None
    bbox: Any = None
    area: Any = None
    iscrowd: Any = None
    segmentation: msgspec.Raw = _NOTHING

    def outline(self) -> Any:
        """The segmentation: polygons or a run-length code; None where there is none that could give a box."""
        try:
            return msgspec.json.decode(self.segmentation)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


class Result(msgspec.Struct, gc=False):
    """A record of a results file."""

    image_id: Any = None
    category_id: Any = None
    bbox: Any = None
    score: Any = None


class Content(msgspec.Struct):
    """A file of instances."""

    images: list[Image] | None = None
    annotations: list[Object] | None = None
    categories: list[Category] | None = None


class _Images(msgspec.Struct):
    images: list[Image] | None = None
    categories: list[Category] | None = None


Record = Category | Image | Object | Result
R = TypeVar("R", Category, Image, Object, Result)
T = TypeVar("T")

_CONTENT, _IMAGES = msgspec.json.Decoder(Content), msgspec.json.Decoder(_Images)
_RESULTS = msgspec.json.Decoder(list[Result])
_NAMES = {Category: "category", Image: "image", Object: "annotation", Result: "result"}


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
            return _RESULTS.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            items = _decode_leniently(path, data, "write the results again")
    if not isinstance(items, list):
        raise UserError(f"{path}: not a list; results are a list of image_id, category_id, bbox and score")
    return [_record(path, Result, item, row, "result") for row, item in enumerate(items)]


def category_values(category: Category) -> tuple[Id, str]:
    """Id and name of a category.

    Raises:
        MalformedError: one of them is missing or unusable.
    """
    return record_id(category.id, "id"), text_of(_stripped(category.name), "name")


def image_values(image: Image) -> tuple[Id, str, tuple[int, int]]:
    """Id, file name, "" for none, and (height, width) of an image; (0, 0) where the file does not give the size.

    Raises:
        MalformedError: a value is missing or unusable.
    """
    name = "" if image.file_name is None else text_of(_stripped(image.file_name, "\r\n"), "file_name")
    height, width = side_of(image.height, "height"), side_of(image.width, "width")
    return record_id(image.id, "id"), name, (height, width) if height and width else (0, 0)


def _stripped(value: Any, letters: str | None = None) -> Any:
    return value.strip(letters) if isinstance(value, str) else value


def object_values(item: Object) -> tuple[Id, Id, list[float], float, bool]:
    """Image id, category id, box (x, y, width, height), area and crowd flag of an object.

    Raises:
        MalformedError: a value is missing or unusable.
    """
    object_id(item)
    image, category = record_id(item.image_id, "image_id"), record_id(item.category_id, "category_id")
    box = object_box(item)
    return image, category, box, object_area(item, box), crowd_flag(item.iscrowd)


def object_id(item: Object) -> Id | None:
    """The id of an object, which it may lack.

    Raises:
        MalformedError: it is neither a number nor a text.
    """
    return None if is_unknown(item.id) else record_id(item.id, "id")


def object_box(item: Object) -> list[float]:
    """The box (x, y, width, height) of an object, or the one around its segmentation.

    Raises:
        MalformedError: it has neither.
    """
    return box_of(item.bbox, item.outline)


def object_area(item: Object, box: Sequence[float]) -> float:
    """The area of an object in square pixels; its box's where the file does not give it.

    Raises:
        MalformedError: the area is not a number.
    """
    area = area_or_none(item.area)
    return box[2] * box[3] if area is None else area


def record_name(record: Record, row: int) -> str:
    """A record for messages: "annotation 12" by its id, or "annotations[3]" by its place in the list, from 0."""
    name = _NAMES[type(record)]
    if isinstance(record, Result):
        return f"{name} {row + 1}"
    if isinstance(record.id, int | float | str):
        return f"{name} {record.id if type(record.id) is int and abs(record.id) < 10**20 else quoted(record.id)}"
    return f"{'categories' if name == 'category' else name + 's'}[{row}]"


def each(path: Path, records: Sequence[R], values: Callable[[R], T]) -> list[T]:
    """`values` of each record.

    Raises:
        UserError: a record is malformed; it is named.
    """
    found = []
    for row, record in enumerate(records):
        try:
            found.append(values(record))
        except MalformedError as error:
            refuse(path, record, row, f"{error}; correct it")
    return found


def refuse(path: Path, record: Record, row: int, why: str) -> NoReturn:
    """Raise a UserError about a record."""
    raise UserError(f"{path}: {record_name(record, row)} {why}")


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
        return json.loads(bytes(data), parse_int=_integer)
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
    if "segmentation" in fields:
        fields["segmentation"] = _raw(fields["segmentation"])
    return kind(**fields)


def _raw(outline: Any) -> msgspec.Raw:
    try:
        return msgspec.Raw(json.dumps(outline).encode())
    except RecursionError:
        return _NOTHING
