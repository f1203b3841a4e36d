"""A file of COCO instances, checked and converted to flat arrays, with a cache for large files.

file = read_coco_file("data/coco/annotations/instances_train2017.json")
file.categories                         # {1: "person", ...}, by id
file.names[0], file.objects(0)          # the first image's file name, and the slice of its objects in the arrays
content = read_content(path)            # the JSON itself without polygons, for pycocotools

COCO's train2017 is 450 MB of JSON, most of it polygons, which a detector does not need; they are dropped during
parsing.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from resdet.errors import UserError

CACHED_FROM = 20_000_000  # bytes of JSON; smaller files are parsed quickly
CACHE_VERSION = 1  # raise it whenever the arrays of CocoFile change
logger = logging.getLogger("resdet")


@dataclass
class CocoFile:
    """N images in the file's order and M objects sorted by image; image i has the objects offsets[i]:offsets[i + 1]."""

    category_ids: np.ndarray  # int64 [K], ascending
    category_names: np.ndarray  # str [K]
    image_ids: np.ndarray  # int64 [N]
    names: np.ndarray  # str [N], file names of the images
    sizes: np.ndarray  # int64 [N, 2], (height, width)
    offsets: np.ndarray  # int64 [N + 1]
    boxes: np.ndarray  # float64 [M, 4], x1, y1, x2, y2, not clipped
    categories_of_objects: np.ndarray  # int64 [M], category ids
    crowd: np.ndarray  # bool [M]

    @property
    def categories(self) -> dict[int, str]:
        """Category names by id, in the order of the ids."""
        return dict(zip(self.category_ids.tolist(), self.category_names.tolist(), strict=True))

    def objects(self, image: int) -> slice:
        """The slice of the objects of image `image`."""
        return slice(int(self.offsets[image]), int(self.offsets[image + 1]))


def read_coco_file(path: str | Path, annotated: bool = True, cached_from: int = CACHED_FROM) -> CocoFile:
    """Read and check a file, or read its cache if the file has not changed since.

    The cache is <name>.resdet.npz beside the file; if that folder is not writable, there is none.

    Args:
        path: the JSON file.
        annotated: False for the lists of test images that COCO publishes, which have no annotations.
        cached_from: size in bytes from which on a cache is written.

    Raises:
        UserError: no such file, not JSON, not instances; an incomplete or repeated entry, or a reference to an image or
            category that is not listed.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the root and the name of the set")
    stat = path.stat()
    key = np.array([CACHE_VERSION, stat.st_size, stat.st_mtime_ns], np.int64)
    cache = path.with_name(f"{path.stem}.resdet.npz")
    found = _read_cache(cache, key) if annotated else None
    if found is not None:
        return found
    file = _to_arrays(path, read_content(path, annotated))
    if annotated and stat.st_size >= cached_from:
        _write_cache(cache, key, file)
    return file


def read_content(path: Path, annotated: bool = True) -> dict[str, Any]:
    """The file's JSON, its annotations without polygons.

    Args:
        path: the JSON file.
        annotated: False replaces the annotations by an empty list.

    Raises:
        UserError: not JSON, or without lists of images, annotations and categories.
    """
    try:
        content = json.loads(path.read_bytes(), object_hook=_drop_polygons)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); download or write it again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a list; annotations are an object with images, annotations and categories")
    if not annotated:
        content["annotations"] = []
    missing = [key for key in ("images", "annotations", "categories") if not isinstance(content.get(key), list)]
    if missing:
        raise UserError(f"{path}: has no list '{missing[0]}'; this is not a file of COCO instances")
    if not content["images"]:
        raise UserError(f"{path}: has no images; choose another set")
    return content


def _drop_polygons(item: dict[str, Any]) -> dict[str, Any]:
    item.pop("segmentation", None)
    return item


def _to_arrays(path: Path, content: dict[str, Any]) -> CocoFile:
    reader = EntryReader(path)
    category_ids, category_names = reader.categories(content["categories"])
    image_ids, names, sizes = reader.images(content["images"])
    image, category, boxes, crowd = reader.objects(content["annotations"], image_ids, category_ids)
    order = np.argsort(image, kind="stable")
    counts = np.bincount(image, minlength=len(image_ids))
    return CocoFile(
        np.array(category_ids, np.int64),
        np.array(category_names, np.str_),
        np.array(image_ids, np.int64),
        np.array(names, np.str_),
        np.array(sizes, np.int64),
        np.cumsum([0, *counts.tolist()], dtype=np.int64),
        boxes[order],
        category[order],
        crowd[order],
    )


class EntryReader:
    """Reads the entries of a file's three lists; each error names the file and the entry.

    Args:
        path: the file, for messages.

    Raises:
        UserError: from every method, if an entry is incomplete, malformed or repeated.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def categories(self, items: Sequence[dict[str, Any]]) -> tuple[list[int], list[str]]:
        """Category ids, ascending, and names."""
        pairs = sorted((self.number(c, "id", "category"), str(self.value(c, "name", "category"))) for c in items)
        ids, names = [number for number, _ in pairs], [name for _, name in pairs]
        if len(set(ids)) < len(ids) or len(set(names)) < len(names):
            raise UserError(f"{self.path}: two categories have one id or one name; correct the categories")
        return ids, names

    def images(self, items: Sequence[dict[str, Any]]) -> tuple[list[int], list[str], list[tuple[int, int]]]:
        """Ids, file names and (height, width) of all images."""
        self.refuse_repeated(items, "image")
        rows = [self.image(item) for item in items]
        return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]

    def image(self, item: dict[str, Any]) -> tuple[int, str, tuple[int, int]]:
        """Id, file name and (height, width) of one image."""
        number, name = self.number(item, "id", "image"), str(self.value(item, "file_name", "image"))
        height, width = self.number(item, "height", "image"), self.number(item, "width", "image")
        if height <= 0 or width <= 0:
            raise UserError(f"{self.path}: image {number} is {width}x{height}; correct its width and height")
        return number, name, (height, width)

    def objects(
        self, items: Sequence[dict[str, Any]], image_ids: Sequence[int], category_ids: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Image index, category id [M], box [M, 4] and crowd [M] of all objects, in the file's order."""
        index = {number: i for i, number in enumerate(image_ids)}
        known = set(category_ids)
        self.refuse_repeated(items, "annotation")
        images, categories = np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
        boxes, crowd = np.zeros((len(items), 4)), np.zeros(len(items), bool)
        for row, item in enumerate(items):
            image, categories[row], boxes[row] = self.object(item, index, known)
            images[row], crowd[row] = index[image], bool(item.get("iscrowd"))
        return images, categories, boxes, crowd

    def object(
        self, item: dict[str, Any], images: Container[int], categories: Container[int]
    ) -> tuple[int, int, tuple[float, float, float, float]]:
        """Image id, category id and box (x1, y1, x2, y2) of one object."""
        image, category = self.number(item, "image_id", "annotation"), self.number(item, "category_id", "annotation")
        if image not in images:
            self._refuse_annotation(item, f"is of image {image}, which is not listed; add it or remove its objects")
        if category not in categories:
            self._refuse_annotation(
                item, f"is of category {category}, which is not listed; add it or remove its objects"
            )
        x, y, width, height = self._box(item)
        return image, category, (x, y, x + width, y + height)

    def refuse_repeated(self, items: Sequence[dict[str, Any]], what: str) -> None:
        """Refuse two entries with the same id; `what` they are, for the message."""
        numbers = [self.number(item, "id", what) for item in items if isinstance(item, dict) and "id" in item]
        if len(set(numbers)) == len(numbers):
            return
        seen: set[Any] = set()
        repeated = next(n for n in numbers if n in seen or seen.add(n))  # type: ignore[func-returns-value]
        raise UserError(f"{self.path}: two {what}s have the id {repeated}; renumber them")

    def value(self, item: dict[str, Any], key: str, what: str) -> Any:
        """The value of an entry; `what` the entry is, for the message."""
        if not isinstance(item, dict) or key not in item:
            number = item.get("id", "") if isinstance(item, dict) else repr(item)[:40]
            text = f"{self.path}: {what} {number} has no '{key}'; correct the file"
            raise UserError(text.replace("  ", " "))
        return item[key]

    def number(self, item: dict[str, Any], key: str, what: str) -> int:
        """The value of an entry as an int; `what` the entry is, for the message."""
        value = self.value(item, key, what)
        try:
            whole = int(value)
        except (TypeError, ValueError, OverflowError):
            raise UserError(
                f"{self.path}: {what} {item.get('id', '')}: {key} {value!r} is not a number; correct it"
            ) from None
        return whole

    def _box(self, item: dict[str, Any]) -> list[float]:
        box: Any = item.get("bbox")
        try:
            values = [float(v) for v in box]
        except (TypeError, ValueError):
            values = []
        if len(values) != 4 or not all(map(_is_finite, values)):
            self._refuse_annotation(item, f"has bbox {box}, not x, y, width, height; correct it")
        return values

    def _refuse_annotation(self, item: dict[str, Any], why: str) -> None:
        raise UserError(f"{self.path}: annotation {item.get('id', '')} {why}".replace("  ", " "))


def _is_finite(value: float) -> bool:
    return value - value == 0


def _read_cache(cache: Path, key: np.ndarray) -> CocoFile | None:
    if not cache.is_file():
        return None
    try:
        with np.load(cache, allow_pickle=False) as arrays:
            if not np.array_equal(arrays["key"], key):
                return None
            return CocoFile(*(arrays[f.name] for f in fields(CocoFile)))
    except Exception:  # a damaged file can fail in any way; the JSON is read instead
        return None


def _write_cache(cache: Path, key: np.ndarray, file: CocoFile) -> None:
    draft = None
    try:
        with tempfile.NamedTemporaryFile(dir=cache.parent, prefix=cache.name, delete=False) as stream:
            draft = Path(stream.name)
            np.savez(stream, key=key, **{f.name: getattr(file, f.name) for f in fields(CocoFile)})
        draft.chmod(0o644)  # temporary files are readable by their owner only
        draft.replace(cache)
    except OSError as error:
        if draft is not None:
            with suppress(OSError):
                draft.unlink()
        logger.info("%s: the annotations cannot be cached (%s) and are parsed each time", cache, error.strerror)
