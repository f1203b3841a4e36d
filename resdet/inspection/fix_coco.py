"""A repaired copy of the annotations of a data set in COCO's format.

fixes = Fixes(root, Path("mended"))
fix_coco(fixes, [("photos", "labels.json")])    # mended/labels.json
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.coco import folder_and_file
from resdet.data.detection.coco_json import read_content
from resdet.data.detection.coco_records import (
    Category,
    Content,
    Image,
    category_values,
    image_values,
    object_values,
    record_name,
)
from resdet.data.detection.coco_table import image_path
from resdet.data.detection.coco_values import Id, IdIndex, MalformedError, record_id, same_id
from resdet.data.detection.shared_files import is_shared, shared_in_words
from resdet.data.images import read_image
from resdet.data.text_files import is_unknown, quoted, read_text
from resdet.errors import UserError
from resdet.inspection.fixes import Fixes, mend_box

# (height, width) of each image that stays, by id; None where its objects stay as they are.
Sizes = dict[Id, tuple[int, int] | None]


def fix_coco(fixes: Fixes, splits: Sequence[str | tuple[str, str]]) -> None:
    """Write the files with what can be repaired without a guess.

    Boxes become four numbers, are clipped, and removed without area or if repeated; objects that are malformed or of an
    image that is not listed are removed; sizes are added; images that are missing or unreadable are removed with their
    objects. Categories, images of different files with one id, and images whose size contradicts the file's stay as
    they are, and so do the objects of such images, of a repeated category, and of a category that is not listed.

    Args:
        fixes: the folder that is written to, and the list of changes.
        splits: see COCODataset.

    Raises:
        UserError: a file is missing, or not one of COCO instances.
    """
    for split in splits:
        folder, file = folder_and_file(fixes.root, split)
        content = read_content(file)
        try:
            whole = json.loads(read_text(file))
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, which the reader passes over
            raise UserError(f"{file}: cannot be written again ({error}); correct it") from None
        sizes, images = _mend_images(fixes, folder, file, content, whole["images"])
        objects = _mend_objects(fixes, file, content, whole["annotations"], sizes)
        _renumber(fixes, file, objects)
        fixes.write(file, json.dumps({**whole, "images": images, "annotations": objects}))


def _mend_images(fixes: Fixes, folder: Path, file: Path, content: Content, items: list[Any]) -> tuple[Sizes, list[Any]]:
    files = _files_of_ids(fixes.root, folder, content.images or [])
    sizes: Sizes = {}
    names: dict[str, str] = {}  # of each file the first
    kept = []
    for row, (record, item) in enumerate(zip(content.images or [], items, strict=True)):
        where = f"{file}: {record_name(record, row)}"
        key = _key(record)
        if key is not None and len(files[key]) > 1:  # whose the objects are is not written anywhere
            if key in sizes:
                fixes.leave(where, "its id is that of another image's, too; nor are the objects of this id")
            sizes[key] = None
            kept.append(item)
            continue
        try:
            number, name, size = image_values(record)
            path = image_path(fixes.root, folder, where, name)
            height, width = read_image(path).shape[:2]
        except (UserError, MalformedError) as error:
            fixes.note(where, f"removed with its objects, because {str(error).removeprefix(f'{where}: ')}")
            continue
        if same_id(number) in sizes:
            fixes.note(where, "removed, it repeats another of the same file")
            continue
        other = names.setdefault(path, name)
        if is_shared(path, (folder, other), (folder, name)):
            fixes.leave(where, shared_in_words(path, (folder, other), (folder, name)))
        if size == (0, 0):
            item = {**item, "width": width, "height": height}
            fixes.note(where, f"the image's size, {width}x{height}, was added")
        contradicts = size not in ((0, 0), (height, width))
        if contradicts:
            fixes.leave(where, f"its size is {size[1]}x{size[0]}, the image's {width}x{height}; nor are its objects")
        sizes[same_id(number)] = None if contradicts else (height, width)
        kept.append(item)
    return sizes, kept


def _renumber(fixes: Fixes, file: Path, objects: list[Any]) -> None:
    """Give objects whose id repeats another's the next free numbers, in place; nothing refers to these ids."""
    ids = [None if is_unknown(item.get("id")) else same_id(record_id(item["id"], "id")) for item in objects]
    free = max((value for value in ids if isinstance(value, int)), default=0) + 1
    seen: set[Id] = set()
    for row, value in enumerate(ids):
        if value is None:
            continue
        if value in seen:
            fixes.note(f"{file}: annotation {quoted(objects[row]['id'])}", f"its id repeats another and is now {free}")
            objects[row] = {**objects[row], "id": free}
            free += 1
        seen.add(value)


def _key(record: Image | Category) -> Id | None:
    with suppress(MalformedError):
        return same_id(record_id(record.id, "id"))
    return None


def _ids(records: Sequence[Image] | Sequence[Category]) -> IdIndex:
    """The ids of all records that have one, malformed in other values or not."""
    return IdIndex([key for key in map(_key, records) if key is not None])


def _leave_categories(fixes: Fixes, file: Path, records: Sequence[Category], ids: IdIndex) -> None:
    for row, record in enumerate(records):
        try:
            category_values(record)
        except MalformedError as error:
            fixes.leave(f"{file}: {record_name(record, row)}", f"it {error}")
    for value in ids.repeated:
        fixes.leave(f"{file}: category {quoted(value)}", "its id is that of another category, too; nor are its objects")


def _files_of_ids(root: Path, folder: Path, images: Sequence[Image]) -> dict[Id | None, set[str | int]]:
    """The paths that the records of each id name; a record that names none counts with its place in the list."""
    found: dict[Id | None, set[str | int]] = defaultdict(set)
    for row, record in enumerate(images):
        place: str | int = row
        with suppress(MalformedError, UserError):
            place = os.path.normpath(image_path(root, folder, "", image_values(record)[1]))
        found[_key(record)].add(place)
    return found


def _mend_objects(fixes: Fixes, file: Path, content: Content, items: list[Any], sizes: Sizes) -> list[Any]:
    categories = _ids(content.categories or [])
    _leave_categories(fixes, file, content.categories or [], categories)
    repeated = set(map(same_id, categories.repeated))
    images = _ids(content.images or [])  # of those that were removed, too
    seen, kept = set(), []
    for row, (record, item) in enumerate(zip(content.annotations or [], items, strict=True)):
        where = f"{file}: {record_name(record, row)}"
        try:
            image, category, written, area, crowd = object_values(record)
        except MalformedError as error:
            fixes.note(where, f"removed, because it {error}")
            continue
        image_key, category_key = images.key(image), categories.key(category)
        if image_key not in sizes:
            fixes.note(where, "removed, its image is not there")
            continue
        size = sizes[image_key]
        if category_key is None:
            fixes.leave(where, f"its category {quoted(category)} is not listed")
        if size is None or category_key is None or category_key in repeated:
            kept.append(item)
            continue
        box = np.array([*written[:2], written[0] + written[2], written[1] + written[3]])
        mended = mend_box(box, size)
        key = None if mended is None else (image_key, category_key, crowd, *mended.tolist())
        if mended is None or key in seen:
            fixes.note(
                where, "removed, it has no area in the image" if mended is None else "removed, it repeats another"
            )
            continue
        seen.add(key)
        if (mended != box).any():
            fixes.note(where, "the box was clipped to the image")
            written = [*mended[:2].tolist(), *(mended[2:] - mended[:2]).tolist()]
        values = {"bbox": written, "area": area, "iscrowd": int(crowd)}
        if any(item.get(key) != value for key, value in values.items() if key in item and key != "bbox"):
            fixes.note(where, "area and iscrowd were written as numbers")
        kept.append({**item, **values})
    return kept
