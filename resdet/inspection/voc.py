"""Check every file of image sets in VOC layout and report all problems; the reader stops at the first.

for problem in check_voc("data/VOCdevkit", [("fruit", "trainval")], ("apple", "banana", "orange")):
    print(problem.text)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from resdet.data.detection.annotations import Annotation
from resdet.data.detection.voc import images_by_id, read_image_set
from resdet.data.detection.voc_xml import read_annotation
from resdet.data.images import read_image
from resdet.errors import UserError
from resdet.inspection.problem import Problem, check_box


def check_voc(root: str | Path, splits: Sequence[tuple[str, str]], classes: Sequence[str]) -> Iterator[Problem]:
    """Find what VOCDataset refuses, and what it repairs and only counts.

    Args:
        root, splits, classes: see VOCDataset.

    Yields:
        A problem per defect.
    """
    seen: dict[str, str] = {}
    for year, image_set in splits:
        folder = Path(root) / f"VOC{year}"
        try:
            ids = read_image_set(folder / "ImageSets" / "Main" / f"{image_set}.txt")
            images = images_by_id(folder / "JPEGImages")
        except UserError as error:
            yield Problem(str(error), True)
            continue
        for image_id in ids:
            where = f"{folder.name}/{image_set}"
            if image_id in seen:
                yield Problem(
                    f"{folder / 'Annotations' / image_id}.xml: in {where} and in {seen[image_id]}; keep one", True
                )
            seen.setdefault(image_id, where)
            yield from _check_image(folder, image_id, images.get(image_id), classes)


def _check_image(folder: Path, image_id: str, image: Path | None, classes: Sequence[str]) -> Iterator[Problem]:
    xml = folder / "Annotations" / f"{image_id}.xml"
    pixels = None
    if image is None:
        path = folder / "JPEGImages" / image_id
        yield Problem(f"{path}.jpg: no such image; restore it or take it out of the image set", True)
    else:
        try:
            pixels = read_image(image)
        except UserError as error:
            yield Problem(str(error), True)
    try:
        annotation = read_annotation(xml, classes)
    except UserError as error:
        yield Problem(str(error), True)
        return
    if pixels is not None:
        yield from _check_boxes(xml, annotation, pixels.shape[:2])


def _check_boxes(xml: Path, annotation: Annotation, size: tuple[int, int]) -> Iterator[Problem]:
    height, width = size
    if 0 in annotation.size:
        yield Problem(f"{xml}: no image size; it is read from the image, {width}x{height}", False)
    elif annotation.size != size:
        h, w = annotation.size
        remedy = "correct the annotation or the image's rotation"
        yield Problem(f"{xml}: says {w}x{h} but the image is {width}x{height}; {remedy}", True)
    for k, box in enumerate(annotation.boxes):
        x1, y1, x2, y2 = box
        problem = check_box(f"{xml}, object {k + 1}", box, f"{x1 + 1:g} {y1 + 1:g} {x2:g} {y2:g}", size)
        if problem is not None:
            yield problem
