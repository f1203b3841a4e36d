"""The boxes of a CLS-LOC image set as its files have them, and their repair.

boxes = read_boxes(root, "val", images, ids, boxes_from="xml")
boxes, usable = mend_boxes(boxes, images.labels, ids, min_side=2, where="data/imagenet, val")
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resdet.data.classification.cls_loc import read_stems
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.voc_xml import read_annotation
from resdet.data.localization.files import read_solution
from resdet.data.text_files import is_file, is_folder, quoted
from resdet.errors import UserError

_FROM_VOC = 1.0  # `read_annotation` subtracts 1 from xmin and ymin, which are 1-based in VOC and 0-based here

_SAME = "the two must be of one release"

logger = logging.getLogger("resdet")


class ReadBoxes(NamedTuple):
    """M boxes as read, in the order of the list."""

    image: np.ndarray  # int64 [M], position in the list, ascending
    labels: np.ndarray  # int64 [M]
    boxes: np.ndarray  # float64 [M, 4], continuous
    sizes: np.ndarray  # float64 [M, 2], image (width, height) in the xml, 0 if missing; infinite in the CSV


NO_BOXES = ReadBoxes(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros((0, 2)))


def read_boxes(
    root: Path, image_set: str, images: ImageNetDataset, ids: list[str], boxes_from: str | None
) -> ReadBoxes:
    """Read all boxes of an image set.

    Args:
        root, image_set, boxes_from: see LocalizationDataset.
        images: the images of the whole list.
        ids: of these images.

    Raises:
        UserError: a missing or malformed file, or list and boxes do not have the same images.
    """
    solution, xmls = root / f"LOC_{image_set}_solution.csv", root / "ILSVRC/Annotations/CLS-LOC" / image_set
    train = image_set == "train"
    if boxes_from not in (None, "csv", "xml"):
        raise UserError(f"boxes_from is 'csv', 'xml' or None, not {boxes_from!r}")
    if boxes_from is None:
        boxes_from = "csv" if (is_file(solution) if train else not is_folder(xmls)) else "xml"
    with_boxes = root / "ILSVRC/ImageSets/CLS-LOC" / ("train_loc.txt" if train else f"{image_set}.txt")
    if not is_folder(xmls) and not is_file(solution):
        raise UserError(f"{root} has no boxes of '{image_set}'; unpack the xml files to {xmls}, or add {solution.name}")
    if boxes_from == "csv":
        return _from_solution(solution, images.classes, ids, with_boxes)
    if not train and is_file(solution):  # val's labels were read from the CSV: check that it belongs to this list
        _from_solution(solution, images.classes, ids, with_boxes)
    below = f"ILSVRC/Data/CLS-LOC/{image_set}/"
    place = {path.removeprefix(below).removesuffix(".JPEG"): i for i, path in enumerate(images.paths.tolist())}
    if is_file(with_boxes):
        names = read_stems(with_boxes)
    else:  # only some images of train have boxes
        names = [name for name in place if is_file(xmls / f"{name}.xml")] if train else list(place)
    return _from_xml(xmls, images.classes, place, names, with_boxes)


def _from_solution(path: Path, classes: tuple[str, ...], ids: list[str], with_boxes: Path) -> ReadBoxes:
    rows = read_solution(path, classes)
    place = {image_id: i for i, image_id in enumerate(ids)}
    if len(place) < len(ids):
        raise UserError(f"{path}: images in several folders have the same name; use the xml files")
    unlisted = next((image_id for image_id in rows.ids if image_id not in place), None)
    if unlisted is not None:
        raise UserError(
            f"{path}: has a row for image {quoted(unlisted)}, which the list in {with_boxes.parent} lacks; {_SAME}"
        )
    absent = {image_name(name) for name in read_stems(with_boxes)} - set(rows.ids) if is_file(with_boxes) else set()
    if absent:
        raise UserError(f"{path}: has no row for image {quoted(min(absent))}, which {with_boxes} lists; {_SAME}")
    image = np.array([place[image_id] for image_id in rows.ids], np.int64)[rows.row]
    return _sorted(ReadBoxes(image, rows.labels, rows.boxes, np.full((len(image), 2), np.inf)))


def _from_xml(
    folder: Path, classes: tuple[str, ...], place: dict[str, int], names: list[str], with_boxes: Path
) -> ReadBoxes:
    """Read the xml files of the images `names`, which are those of the list `with_boxes` if it exists."""
    image, labels, boxes, sizes = [], [], [np.zeros((0, 4))], []
    for name in names:
        xml = folder / f"{name}.xml"
        if name not in place:
            raise UserError(f"{with_boxes}: image {quoted(name)} is not in the list of all images; {_SAME}")
        if not is_file(xml):
            raise UserError(f"{xml}: no such annotation, but its image is in {with_boxes.stem}; restore it")
        found = read_annotation(xml, classes)  # <filename> is not used: it lacks the suffix, or names another file
        image += [place[name]] * len(found)
        labels += found.labels.tolist()
        boxes.append(found.boxes + _FROM_VOC)
        sizes += [found.size[::-1]] * len(found)
    known = np.array(sizes, np.float64).reshape(-1, 2)
    return _sorted(ReadBoxes(np.array(image, np.int64), np.array(labels, np.int64), np.concatenate(boxes), known))


def _sorted(found: ReadBoxes) -> ReadBoxes:
    order = np.argsort(found.image, kind="stable")
    return ReadBoxes(*(column[order] for column in found))


def mend_boxes(
    found: ReadBoxes, labels: np.ndarray, ids: list[str], min_side: float, where: str
) -> tuple[ReadBoxes, np.ndarray]:
    """The boxes with area and their image's class, and which of them training uses, bool [M]; warns of defects."""
    limits = np.where(found.sizes > 0, found.sizes, np.inf)
    clipped = found.boxes.clip(0, np.tile(limits, 2))
    other = found.labels != labels[found.image]
    empty = ~other & (thickness(found.boxes) <= 0)
    kept = ~(other | empty)
    outside = kept & (thickness(clipped) <= 0)
    thin = kept & ~outside & (thickness(clipped) < min_side)
    usable = kept & ~outside & ~thin
    flaws = {
        "of another class than their image's, removed": other,
        "without area, removed": empty,
        "outside their image, not used": outside,
        f"thinner than {min_side:g} pixels, not used": thin,
        "extending beyond their image, clipped": usable & (clipped != found.boxes).any(1),
        "of an xml without the image's size, which is read from the image": (found.sizes == 0).any(1),
    }
    counted = [
        f"{flaw.sum()} {what} (first: {ids[found.image[flaw.argmax()]]})" for what, flaw in flaws.items() if flaw.any()
    ]
    if counted:
        logger.warning("%s: of %d boxes %s", where, len(found.boxes), "; ".join(counted))
    return ReadBoxes(*(column[kept] for column in found)), usable[kept]


def thickness(boxes: np.ndarray) -> np.ndarray:
    """The shorter side of each box, [M]; zero or negative if a box has no area."""
    sides: np.ndarray = (boxes[:, 2:] - boxes[:, :2]).min(1)
    return sides


def image_name(path: str) -> str:
    """The image's id in ILSVRC's and Kaggle's files: the last part of its path without .JPEG."""
    return path.rsplit("/", 1)[-1].removesuffix(".JPEG")
