"""Check every image and annotation of image sets of ImageNet DET and report all problems.

for problem in check_imagenet_det("data/imagenet", ["train", "val1"]):
    print(problem.text)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from resdet.data.detection.imagenet_det import (
    NO_NUMBER,
    ListedImage,
    image_path,
    read_classes,
    read_list,
    xml_path,
)
from resdet.data.detection.voc_xml import read_annotation
from resdet.data.image_files import missing_images
from resdet.data.text_files import is_file
from resdet.errors import UserError
from resdet.inspection.problem import Problem, check_boxes, decoded_sizes

_FROM_VOC = 1.0  # `read_annotation` subtracts 1 from xmin and ymin, which are 1-based in VOC and 0-based here


def check_imagenet_det(root: str | Path, image_sets: Sequence[str], annotated: bool = True) -> Iterator[Problem]:
    """Find what ImageNetDETDataset refuses, and what it repairs and only counts.

    Args:
        root, image_sets, annotated: see ImageNetDETDataset.

    Yields:
        A problem per defect.
    """
    root, known = Path(root), list[str]()
    try:
        known = list(read_classes(root / "map_det.txt"))
    except UserError as error:
        yield Problem(str(error), True)
    listed: dict[Path, ListedImage] = {}
    for name in image_sets:
        try:
            items = read_list(root / "ILSVRC", name)
        except UserError as error:
            yield Problem(str(error), True)
            continue
        for item in items:
            first = listed.setdefault(image_path(root / "ILSVRC", item), item)
            if first is not item and (first.number, item.number) != (NO_NUMBER, NO_NUMBER):
                yield Problem(
                    f"{item.source}: image {item.id} is in the lists twice (first {first.source}); keep one", True
                )
    missing = set(missing_images(list(listed)))
    for image in missing:
        yield Problem(f"{image}: no such image, but it is listed in {listed[image].source}; restore it", True)
    for image, found in decoded_sizes([image for image in listed if image not in missing]):
        if isinstance(found, Problem):
            yield found
        if annotated and known:
            size = None if isinstance(found, Problem) else found
            yield from _check_xml(xml_path(root / "ILSVRC", listed[image]), listed[image].part, known, size)


def _check_xml(xml: Path, part: str, known: Sequence[str], size: tuple[int, int] | None) -> Iterator[Problem]:
    """Check one xml file; `size` is the image's, None if it cannot be read."""
    if not is_file(xml):
        if part != "train":
            yield Problem(f"{xml}: no such annotation; restore it, or set annotated=False (test)", True)
        return
    try:
        found = read_annotation(xml, known)
    except UserError as error:
        yield Problem(str(error), True)
        return
    if size is None:
        return
    if 0 in found.size:
        yield Problem(f"{xml}: no image size; it is read from the image, {size[1]}x{size[0]}", False)
    elif found.size != size:
        said = f"says {found.size[1]}x{found.size[0]} but the image is {size[1]}x{size[0]}"
        yield Problem(f"{xml}: {said}; correct the annotation or the image's rotation", True)
    boxes = found.boxes + _FROM_VOC
    shown = [" ".join(f"{v:g}" for v in box) for box in boxes - np.array([0, 0, 1, 1])]
    yield from check_boxes(lambda k: f"{xml}, object {k + 1}", boxes, found.labels.tolist(), shown, size)
