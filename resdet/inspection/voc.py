"""Check every file of image sets in VOC layout and report all problems; the reader stops at the first.

for problem in check_voc("data/VOCdevkit", [("fruit", "trainval")], ("apple", "banana", "orange")):
    print(problem.text)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from resdet.data.detection.usable import ROTATED
from resdet.data.detection.voc import id_twice
from resdet.data.detection.voc_files import VOCFiles, find_voc_files
from resdet.data.detection.voc_xml import TO_CONTINUOUS, is_rotated, parse_object, parse_size, parse_xml, unknown_class
from resdet.errors import UserError
from resdet.inspection.problem import Problem, check_boxes, decoded_sizes


def check_voc(
    root: str | Path, splits: Sequence[tuple[str, str]], classes: Sequence[str] | None, annotated: bool = True
) -> Iterator[Problem]:
    """Find what VOCDataset refuses, and what it repairs and only counts.

    Args:
        root, splits, classes, annotated: see VOCDataset; with classes None no class is unknown.

    Yields:
        A problem per defect.
    """
    seen: dict[str, Path] = {}
    for year, image_set in splits:
        try:
            files = find_voc_files(Path(root), year, image_set)
            ids = files.ids(image_set)
        except UserError as error:
            yield Problem(str(error), True)
            continue
        for image_id in ids:
            if image_id in seen:
                yield Problem(id_twice(image_id, files.xml_of(image_id), seen[image_id]), True)
            seen.setdefault(image_id, files.xml_of(image_id))
        yield from _check_images(files, ids, image_set, classes, annotated)


def _check_images(
    files: VOCFiles, ids: Sequence[str], image_set: str, classes: Sequence[str] | None, annotated: bool
) -> Iterator[Problem]:
    images = {}
    for image_id in ids:
        try:
            images[files.image(image_id, image_set)] = image_id
        except UserError as error:
            yield Problem(str(error), True)
            if annotated:
                yield from _check_xml(files.xml_of(image_id), None, classes)
    for image, found in decoded_sizes(list(images)):
        size = None if isinstance(found, Problem) else found
        if isinstance(found, Problem):
            yield found
        if annotated:
            try:
                yield from _check_xml(files.annotation(images[image], image_set), size, classes)
            except UserError as error:
                yield Problem(str(error), True)


def _check_xml(xml: Path, size: tuple[int, int] | None, classes: Sequence[str] | None) -> Iterator[Problem]:
    """Check one xml file; `size` is the image's, None if it cannot be read."""
    try:
        root = parse_xml(xml)
    except UserError as error:
        yield Problem(str(error), True)
        return
    if size is not None:
        yield from _check_size(xml, parse_size(root), size)
    objects = []
    for number, element in enumerate(root.findall("object"), 1):
        where = f"{xml}, object {number}"
        try:
            objects.append((where, *parse_object(element, where)))
        except UserError as error:
            yield Problem(str(error), True)
            continue
        if is_rotated(element):
            yield Problem(f"{where}: objects {ROTATED}", False)
        name = objects[-1][1]
        if classes is not None and name not in classes:
            yield Problem(str(unknown_class(where, name, classes)), True)
    if size is None or not objects:
        return
    places, names, boxes, _ = zip(*objects, strict=True)
    shown = [" ".join(f"{v:g}" for v in box - TO_CONTINUOUS) for box in boxes]
    yield from check_boxes(lambda k: places[k], np.array(boxes), names, shown, size)


def _check_size(xml: Path, written: tuple[int, int], size: tuple[int, int]) -> Iterator[Problem]:
    (height, width), (h, w) = size, written
    if 0 in written:
        yield Problem(f"{xml}: no image size; it is read from the image, {width}x{height}", False)
    elif written != size:
        remedy = "correct the annotation or the image's rotation"
        yield Problem(f"{xml}: says {w}x{h} but the image is {width}x{height}; {remedy}", True)
