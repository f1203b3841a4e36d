"""Check every record and image of data sets in COCO's format and report all problems; the reader stops at the first.

for problem in check_coco("data/mine", [("photos", "labels.json")]):
    print(problem.text)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from resdet.data.detection.coco import folder_and_file
from resdet.data.detection.coco_file import not_listed, similar_ids
from resdet.data.detection.coco_json import read_content
from resdet.data.detection.coco_records import (
    Category,
    Content,
    Image,
    Object,
    category_values,
    image_values,
    object_id,
    object_values,
    record_name,
)
from resdet.data.detection.coco_table import image_path
from resdet.data.detection.coco_values import Id, IdIndex, MalformedError, same_id
from resdet.data.detection.shared_files import Named, is_shared, shared_in_words
from resdet.data.detection.usable import ROTATED
from resdet.data.text_files import is_folder, quoted
from resdet.errors import UserError
from resdet.inspection.problem import Problem, check_boxes, decoded_sizes

R = TypeVar("R", Category, Image, Object)
T = TypeVar("T")


class _Object(NamedTuple):
    where: str  # file and object
    box: list[float]  # x, y, width, height
    kind: tuple[Id, bool]  # category and crowd flag


def check_coco(root: str | Path, splits: Sequence[str | tuple[str, str]], annotated: bool = True) -> Iterator[Problem]:
    """Find what COCODataset refuses, and what it repairs and only counts.

    Args:
        root, splits, annotated: see COCODataset.

    Yields:
        A problem per defect.
    """
    for split in splits:
        folder, file = folder_and_file(Path(root), split)
        try:
            content = read_content(file, annotated)
        except UserError as error:
            yield Problem(str(error), True)
            continue
        if not is_folder(folder):
            yield Problem(f"{folder}: no such folder; put the images there", True)
            continue
        yield from _check_content(Path(root), folder, file, content)


def _check_content(root: Path, folder: Path, file: Path, content: Content) -> Iterator[Problem]:
    problems: list[Problem] = []
    categories = _values(file, content.categories or [], category_values, problems)
    images = _values(file, content.images or [], image_values, problems)
    objects = content.annotations or []
    found = _values(file, objects, object_values, problems)
    _check_repeated(file, "categories", [value[0] for _, value in categories], problems)
    _check_repeated(file, "images", [value[0] for _, value in images], problems)
    rotated = [record_name(item, row) for row, item in enumerate(objects) if item.is_rotated()]
    problems += [Problem(f"{file}: {name}: objects {ROTATED}", False) for name in rotated]
    ids = [_object_id(item) for item in objects]
    _check_repeated(file, "annotations", [value for value in ids if value is not None], problems)
    if len(found) == len(objects) and found and all(crowd for _, (*_, crowd) in found):
        text = f"{file}: all objects are marked as crowds: nothing is learned from them; correct 'iscrowd'"
        problems.append(Problem(text, False))
    listed, classes = IdIndex([value[0] for _, value in images]), IdIndex([value[0] for _, value in categories])
    for what, index in (("images", listed), ("categories", classes)):
        problems += [Problem(f"{file}: {similar_ids(what, *pair)}", False) for pair in index.similar]
    own: dict[Id, list[_Object]] = defaultdict(list)
    for row, (image, category, box, _, crowd) in found:
        where = f"{file}: {record_name(objects[row], row)}"
        image_key, category_key = listed.key(image), classes.key(category)
        if image_key is None or category_key is None:
            key, value = ("image_id", image) if image_key is None else ("category_id", category)
            problems.append(Problem(f"{where} {not_listed(key, value)}", True))
        else:
            own[image_key].append(_Object(where, box, (category_key, crowd)))
    yield from problems
    paths: list[Path] = []
    known = []  # what the file says of each of the paths
    names = []
    for row, (number, name, size) in images:
        where = f"{file}: {record_name((content.images or [])[row], row)}"
        try:
            paths.append(Path(image_path(root, folder, where, name)))
            known.append((where, size, own[same_id(number)]))
            names.append((folder, name))
        except UserError as error:
            yield Problem(str(error), True)
    yield from _check_shared(paths, [where for where, _, _ in known], names)
    for (path, decoded), (where, size, boxes) in zip(decoded_sizes(paths), known, strict=True):
        yield from _check_image(path, decoded, where, size, boxes)


def _check_shared(paths: Sequence[Path], wheres: Sequence[str], names: Sequence[Named]) -> Iterator[Problem]:
    """Find files of several records; of records with other names they are refused."""
    first: dict[Path, tuple[str, Named]] = {}
    for path, where, name in zip(paths, wheres, names, strict=True):
        before, other = first.setdefault(path, (where, name))
        if before == where:
            continue
        if is_shared(path, other, name):
            yield Problem(f"{where}: {shared_in_words(path, other, name)}", True)
        else:
            yield Problem(f"{where} is of {path.name}, as {before.rpartition(': ')[2]} is; keep one record", False)


def _values(file: Path, records: Sequence[R], values: Callable[[R], T], problems: list[Problem]) -> list[tuple[int, T]]:
    """Place and values of each record; malformed ones are added to `problems`."""
    found = []
    for row, record in enumerate(records):
        try:
            found.append((row, values(record)))
        except MalformedError as error:
            problems.append(Problem(f"{file}: {record_name(record, row)} {error}; correct it", True))
    return found


def _check_repeated(file: Path, what: str, ids: Sequence[Id], problems: list[Problem]) -> None:
    seen: set[Id] = set()
    for value in ids:
        if same_id(value) in seen:
            problems.append(Problem(f"{file}: two {what} have the id {quoted(value)}; renumber them", True))
        seen.add(same_id(value))


def _object_id(item: Object) -> Id | None:
    try:
        return object_id(item)
    except MalformedError:
        return None


def _check_image(
    path: Path, found: tuple[int, int] | Problem, where: str, size: tuple[int, int], objects: Sequence[_Object]
) -> Iterator[Problem]:
    """Compare what was found at the path, and the boxes, with the size that the file says, (0, 0) for none."""
    if isinstance(found, Problem):
        yield found
        if size == (0, 0):
            return
    elif size == (0, 0):
        size = found
        yield Problem(f"{where}: no image size; it is read from the image, {size[1]}x{size[0]}", False)
    elif size != found:
        text = f"{where} says {size[1]}x{size[0]} but {path.name} is {found[1]}x{found[0]}"
        yield Problem(f"{text}; correct the file or the image's rotation", True)
    boxes = np.array([item.box for item in objects]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    shown = [" ".join(f"{v:g}" for v in item.box) for item in objects]
    yield from check_boxes(lambda k: objects[k].where, boxes, [item.kind for item in objects], shown, size)
