"""A file of COCO instances, checked and converted to flat arrays, with a cache for large files.

file = read_coco_file("data/coco/annotations/instances_train2017.json")
file.category_names[0], file.names[0]   # the first category by id, and the first image's file name
file.boxes[file.offsets[0] : file.offsets[1]]   # the boxes of the first image's objects
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.coco_json import read_content
from resdet.data.detection.coco_records import (
    NOTHING,
    Category,
    Content,
    Object,
    category_values,
    each,
    image_values,
    object_area,
    object_box,
    object_id,
    record_name,
    refuse,
)
from resdet.data.detection.coco_values import (
    LARGEST,
    LONGEST_TEXT,
    Id,
    IdIndex,
    crowd_flag,
    four_numbers,
    id_array,
    plain_numbers,
    record_id,
    same_id,
)
from resdet.data.detection.usable import ROTATED
from resdet.data.text_files import is_file, quoted
from resdet.errors import UserError

CACHED_FROM = 20_000_000  # bytes of JSON; smaller files are parsed quickly
CACHE_VERSION = 4  # raise it whenever the arrays of CocoFile change
logger = logging.getLogger("resdet")


@dataclass
class CocoFile:
    """N images in the file's order and M objects sorted by image; image i has the objects offsets[i]:offsets[i + 1]."""

    category_ids: np.ndarray  # int64 [K], or texts and large ints as objects; ascending, texts last
    category_names: np.ndarray  # str [K]
    parents: np.ndarray  # str [K], the supercategories; "" for none
    image_ids: np.ndarray  # int64 [N], or texts and large ints as objects
    names: np.ndarray  # str [N], file names of the images
    sizes: np.ndarray  # int64 [N, 2], (height, width); 0, 0 where the file does not give them
    offsets: np.ndarray  # int64 [N + 1]
    boxes: np.ndarray  # float64 [M, 4], x, y, width, height as in the file, not clipped
    areas: np.ndarray  # float64 [M], of the outlines; the boxes' where the file does not give them
    categories: np.ndarray  # int64 [M], index of each object's category
    crowd: np.ndarray  # bool [M]


def read_coco_file(path: str | Path, annotated: bool = True, cached_from: int = CACHED_FROM) -> CocoFile:
    """Read and check a file, or read its cache if the file has not changed since.

    The cache is <name>.resdet.npz beside the file; if that folder is not writable, there is none.

    Args:
        path: the JSON file.
        annotated: False for the lists of test images that COCO publishes, which have no annotations.
        cached_from: size in bytes from which on a cache is written.

    Raises:
        UserError: no such file, not JSON, not instances; an incomplete, malformed or repeated record, or a reference
            to an image or category that is not listed.
    """
    path = Path(path)
    if not is_file(path):
        raise UserError(f"{path}: no such file; check the root and the name of the set")
    stat = path.stat()
    key = np.array([CACHE_VERSION, stat.st_size, stat.st_mtime_ns], np.int64)
    cache = path.with_name(f"{path.stem}.resdet.npz")
    found = _read_cache(cache, key) if annotated else None
    if found is not None:
        return found
    file = arrays_of(path, read_content(path, annotated))
    if annotated and stat.st_size >= cached_from:
        _write_cache(cache, key, file)
    return file


def arrays_of(path: Path, content: Content) -> CocoFile:
    """The arrays of a file's records.

    Raises:
        UserError: a record is incomplete, malformed or repeated, or refers to an image or category that is not listed.
    """
    categories, images, objects = content.categories or [], content.images or [], content.annotations or []
    category_ids = _unique_ids(path, "categories", [value for value, _ in each(path, categories, category_values)])
    by_id = sorted(range(len(categories)), key=lambda row: (isinstance(same := same_id(category_ids[row]), str), same))
    rows = each(path, images, image_values)
    image_ids = _unique_ids(path, "images", [value for value, _, _ in rows])
    refuse_repeated_objects(path, objects)
    _tell_rotated(path, objects)
    category = _references(path, objects, "category_id", category_ids)
    image = _references(path, objects, "image_id", image_ids)
    boxes = _boxes(path, objects)
    areas = _areas(path, objects, boxes)
    crowd = np.array(_values(path, objects, "iscrowd", {int, bool}, lambda item: crowd_flag(item.iscrowd)), bool)
    order = np.argsort(image, kind="stable")
    rank = np.argsort(by_id)  # of each category of the file's list
    return CocoFile(
        category_ids=id_array([category_ids[row] for row in by_id]),
        category_names=np.array([category_values(categories[row])[1] for row in by_id], np.str_),
        parents=np.array([_parent(categories[row]) for row in by_id], np.str_),
        image_ids=id_array(image_ids),
        names=np.array([name for _, name, _ in rows], np.str_),
        sizes=np.array([size for _, _, size in rows], np.int64),
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(image, minlength=len(images)))]),
        boxes=boxes[order],
        areas=areas[order],
        categories=rank[category[order]],
        crowd=crowd[order],
    )


def _tell_rotated(path: Path, objects: Sequence[Object]) -> None:
    """Warn of rotated objects when a file is parsed: its cache has their boxes alone."""
    rotated = [row for row, item in enumerate(objects) if item.attributes is not NOTHING and item.is_rotated()]
    if rotated:
        first = record_name(objects[rotated[0]], rotated[0])
        logger.warning("%s: %d objects %s (first: %s)", path, len(rotated), ROTATED, first)


def refuse_repeated_objects(path: Path, objects: Sequence[Object]) -> None:
    """Refuse two annotations with the same id, of which pycocotools would lose one; annotations need no id.

    Raises:
        UserError: there are such, or an id is malformed.
    """
    ids = list(map(attrgetter("id"), objects))
    if set(map(type, ids)) == {int} and len(set(ids)) == len(ids):
        return
    _unique_ids(path, "annotations", [value for value in each(path, objects, object_id) if value is not None])


def not_listed(key: str, value: Any) -> str:
    """What is wrong with an object of an image or category that is not listed, after its name in a message."""
    what = key.removesuffix("_id")
    return f"is of {what} {quoted(value)}, which is not listed; add it or remove its objects"


def similar_ids(what: str, first: Id, second: Id) -> str:
    """What is doubtful about two ids with the same number, for messages."""
    return (
        f"{what} have the ids {quoted(first)} and {quoted(second)}, which are two: annotations and results must write "
        "them exactly so; renumber one of them"
    )


def _unique_ids(path: Path, what: str, ids: list[Id]) -> list[Id]:
    repeated = IdIndex(ids).repeated
    if repeated:
        raise UserError(f"{path}: two {what} have the id {quoted(repeated[0])}; renumber them")
    return ids


def _references(path: Path, objects: Sequence[Object], key: str, listed: list[Id]) -> np.ndarray:
    """The position of each object's image or category in `listed`, int64 [M]."""
    ids = _values(path, objects, key, {int}, lambda item: record_id(getattr(item, key), key))
    rows = IdIndex(listed).rows(ids)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        first = int(missing[0])
        refuse(path, objects[first], first, not_listed(key, ids[first]))
    return rows


def _boxes(path: Path, objects: Sequence[Object]) -> np.ndarray:
    array = four_numbers(list(map(attrgetter("bbox"), objects)))
    return np.array(each(path, objects, object_box), np.float64).reshape(-1, 4) if array is None else array


def _areas(path: Path, objects: Sequence[Object], boxes: np.ndarray) -> np.ndarray:
    areas = plain_numbers(list(map(attrgetter("area"), objects)))
    if areas is not None and ((areas >= 0) & (areas <= LARGEST**2)).all():
        return areas
    box = iter(boxes.tolist())
    return np.array(each(path, objects, lambda item: object_area(item, next(box))), np.float64)


def _values(
    path: Path, objects: Sequence[Object], key: str, plain: set[type], value: Callable[[Object], Any]
) -> list[Any]:
    """The values of one key: as they are if all are of the `plain` types and small, else by `value`, one by one."""
    values = list(map(attrgetter(key), objects))
    if set(map(type, values)) <= plain and (key != "iscrowd" or set(values) <= {0, 1}):
        return values
    return each(path, objects, value)


def _parent(category: Category) -> str:
    parent = category.supercategory
    return parent if isinstance(parent, str) and len(parent) <= LONGEST_TEXT else ""


def _read_cache(cache: Path, key: np.ndarray) -> CocoFile | None:
    if not cache.is_file():
        return None
    try:
        with np.load(cache, allow_pickle=False) as arrays:
            if not np.array_equal(arrays["key"], key):
                return None
            found = {f.name: arrays[f.name] for f in fields(CocoFile)}
            for name in ("category_ids", "image_ids"):
                if found[name].dtype.kind == "U":
                    found[name] = id_array([json.loads(text) for text in found[name].tolist()])
            return CocoFile(**found)
    except Exception:  # a damaged file can fail in any way; the JSON is read instead
        return None


def _write_cache(cache: Path, key: np.ndarray, file: CocoFile) -> None:
    arrays = {f.name: getattr(file, f.name) for f in fields(CocoFile)}
    for name in ("category_ids", "image_ids"):
        if arrays[name].dtype == object:
            arrays[name] = np.array([json.dumps(value) for value in arrays[name].tolist()], np.str_)
    draft = None
    try:
        with tempfile.NamedTemporaryFile(dir=cache.parent, prefix=cache.name, delete=False) as stream:
            draft = Path(stream.name)
            np.savez(stream, key=key, **arrays)
        draft.chmod(0o644)  # temporary files are readable by their owner only
        draft.replace(cache)
    except OSError as error:
        if draft is not None:
            with suppress(OSError):
                draft.unlink()
        logger.info("%s: the annotations cannot be cached (%s) and are parsed each time", cache, error.strerror)
