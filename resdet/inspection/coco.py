"""Check every entry and image of data sets in COCO's format and report all problems; the reader stops at the first.

for problem in check_coco("data/mine", [("photos", "labels.json")]):
    print(problem.text)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.coco import folder_and_file
from resdet.data.detection.coco_file import EntryReader, read_content
from resdet.data.images import read_image
from resdet.errors import UserError
from resdet.inspection.problem import Problem, check_box


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
            content = read_content(file, annotated) if file.is_file() else None
        except UserError as error:
            yield Problem(str(error), True)
            continue
        if content is None:
            yield Problem(f"{file}: no such file; check the root and the name of the set", True)
            continue
        if not folder.is_dir():
            yield Problem(f"{folder}: no such folder; put the images there", True)
            continue
        yield from _check_content(folder, file, content)


def _check_content(folder: Path, file: Path, content: dict[str, Any]) -> Iterator[Problem]:
    reader = EntryReader(file)
    categories: list[int] = []
    try:
        categories, _ = reader.categories(content["categories"])
        reader.refuse_repeated(content["images"], "image")
        reader.refuse_repeated(content["annotations"], "annotation")
    except UserError as error:
        yield Problem(str(error), True)
    listed = set()
    for item in content["images"]:
        with suppress(UserError):  # reported below
            listed.add(reader.number(item, "id", "image"))
    boxes: dict[int, list[tuple[Any, list[float], np.ndarray]]] = defaultdict(list)
    for item in content["annotations"]:
        try:
            image, _, corners = reader.object(item, listed, categories)
            boxes[image].append((item.get("id", ""), item["bbox"], np.array(corners)))
        except UserError as error:
            yield Problem(str(error), True)
    for item in content["images"]:
        try:
            number, name, size = reader.image(item)
        except UserError as error:
            yield Problem(str(error), True)
            continue
        yield from _check_image(folder / name, file, number, size)
        for label, written, box in boxes[number]:
            shown = " ".join(f"{v:g}" for v in written)
            problem = check_box(f"{file}: annotation {label}", box, shown, size)
            if problem is not None:
                yield problem


def _check_image(path: Path, file: Path, number: int, size: tuple[int, int]) -> Iterator[Problem]:
    try:
        height, width = read_image(path).shape[:2]
    except UserError as error:
        yield Problem(str(error), True)
        return
    if (height, width) != size:
        text = f"{file}: image {number} says {size[1]}x{size[0]} but {path.name} is {width}x{height}"
        yield Problem(f"{text}; correct the file or the image's rotation", True)
