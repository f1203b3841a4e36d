"""The records of COCO's JSON files: instances, and results, and their values.

    content = read_content(path)                        # coco_json.py: images, annotations and categories as records
    image, category, box, area, crowd = object_values(content.annotations[0])

Only what a detector needs is decoded; polygons, most of train2017's 450 MB, only for objects without a box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from resdet.data.detection.usable import rotation_changes_box
from resdet.data.text_files import is_unknown, quoted
from resdet.errors import UserError

NOTHING = msgspec.Raw(b"null")


class Category(msgspec.Struct, gc=False):
    """A record of `categories`; values are as in the file, None for those it lacks."""

    id: Any = None
    name: Any = None
    supercategory: Any = None


class Image(msgspec.Struct, gc=False):
    """A record of `images`."""

    id: Any = None
    file_name: Any = None
    coco_url: Any = None
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
    segmentation: msgspec.Raw = NOTHING
    attributes: msgspec.Raw = NOTHING  # CVAT's

    def outline(self) -> Any:
        """The segmentation: polygons or a run-length code; None where there is none that could give a box."""
        try:
            return msgspec.json.decode(self.segmentation)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def is_rotated(self) -> bool:
        """Whether CVAT says that the object is turned, which its box is not."""
        if b'"rotation"' not in bytes(self.attributes):
            return False
        try:
            attributes = msgspec.json.decode(self.attributes)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return isinstance(attributes, dict) and rotation_changes_box(attributes.get("rotation"))


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


Record = Category | Image | Object | Result
R = TypeVar("R", Category, Image, Object, Result)
T = TypeVar("T")

_NAMES = {Category: "category", Image: "image", Object: "annotation", Result: "result"}


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
    height, width = side_of(image.height, "height"), side_of(image.width, "width")
    return record_id(image.id, "id"), file_name(image), (height, width) if height and width else (0, 0)


def file_name(image: Image) -> str:
    """The file name of an image; without one its address, by which LVIS names images; "" for neither.

    Raises:
        MalformedError: it is no text, or cannot be printed.
    """
    key = "coco_url" if is_unknown(image.file_name) and not is_unknown(image.coco_url) else "file_name"
    value = getattr(image, key)
    return "" if value is None else text_of(_stripped(value, "\r\n"), key)


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
