"""YOLO's txt format: a text file per image, a line per object.

    train = YOLODataset("data/photos", "train")              # images/train/**.jpg, labels/train/**.txt, data.yaml
    both = YOLODataset("data/photos", ["train", "val"], classes=["cat", "dog"])
    listed = YOLODataset("data/photos", "train.txt")         # as in Darknet: a file that lists the images

A line is `class cx cy w h`, in fractions of the image after its EXIF rotation. A line with more numbers is a polygon,
`class x1 y1 x2 y2 x3 y3 ...`, of which the enclosing box is used; or, where data.yaml has `kpt_shape`, a box and its
keypoints, which are not used. An image without a txt file has no objects.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.detection.annotations import Annotation, DetectionDataset, build_table
from resdet.data.detection.other_txt import other_line
from resdet.data.detection.usable import refuse_yolo_corners
from resdet.data.detection.yolo_files import ListedImage, list_images
from resdet.data.detection.yolo_names import REMEDY, LineForm, line_form, read_names
from resdet.data.image_files import require_images
from resdet.data.images import image_size
from resdet.data.text_files import (
    LONGEST_QUOTE,
    finite_number,
    is_file,
    named_classes,
    quoted,
    quoted_path,
    read_lines,
)
from resdet.errors import UndecidedError, UserError

Row = tuple[int, float, float, float, float]  # label and corners x1, y1, x2, y2 in fractions of the image

_ROUNDING = 1e-6  # files have six digits: corners this close to the border are moved to it without a warning
_TOLERANCE = 0.01  # numbers further outside of 0..1 are refused: they are pixels, or mistakes

logger = logging.getLogger("resdet")


class YOLODataset(DetectionDataset):
    """One or several image sets in YOLO's format, concatenated.

    Args:
        root: the folder that holds images/ and labels/.
        image_sets: one or several of
            - a folder in ROOT/images, read recursively, with its txt files at the same place in ROOT/labels; "." for
              all of ROOT/images;
            - a folder in ROOT with images/ and labels/ of its own, or with the txt files beside the images;
            - "<name>.txt", a file in ROOT that lists images by their paths below ROOT or absolute ones. The txt file of
              a listed image is found by replacing a folder "images" of its path by "labels", the last for which there
              are labels; without one it is beside the image.
        classes: names in the order of their labels; None takes the lines of ROOT/classes.txt or ROOT/obj.names, else
            the `names` of ROOT/data.yaml, else the lines of a classes.txt beside the labels.

    Folders "images" and "labels" may be written in any case. An image's id is its path below ROOT without "images" and
    suffix, such as "train/001"; ids must be unique. Sizes are read from the image headers. Boxes are clipped to the
    image, boxes without area and repeated lines are dropped, images without a txt file are kept; each of these gives
    one warning with a count, on the logger "resdet".

    Raises:
        UserError: a missing folder or image, a malformed line, an unknown class, an image twice.
    """

    def __init__(self, root: str | Path, image_sets: str | Sequence[str], classes: Sequence[str] | None = None) -> None:
        root = Path(root)
        names = named_classes(classes, root) or read_names(root)
        image_sets = [image_sets] if isinstance(image_sets, str) else image_sets
        images = _by_id([image for image_set in image_sets for image in list_images(root, image_set)])
        source = f"{root}, {', '.join(image_sets)}"
        require_images([root / image.path for image in images.values()], source)
        form = line_form(root, names, given=classes is not None)
        rows = [read_rows(image.label, form) for image in images.values()]
        _warn_of_missing(images)
        _warn_of_repeated(rows, list(images))
        annotations = [_annotation(root / images[i].path, i, own) for i, own in zip(images, rows, strict=True)]
        super().__init__(names, build_table(annotations, source, refuse_misread=refuse_yolo_corners))


def _by_id(images: Sequence[ListedImage]) -> dict[str, ListedImage]:
    found: dict[str, ListedImage] = {}
    for image in images:
        first = found.setdefault(image.id, image)
        if first is not image:
            again, before = (quoted_path(path, LONGEST_QUOTE) for path in (image.path, first.path))
            raise UserError(f"{again}: image {quoted(image.id)} is in the chosen sets twice (first {before}); keep one")
    return found


def read_rows(path: Path, form: LineForm) -> list[Row]:
    """Read the objects of a txt file; a missing one has none.

    Raises:
        UserError: a line is malformed.
    """
    return [parse_row(line, form, where) for where, line in label_lines(path)]


def label_lines(path: Path) -> list[tuple[str, str]]:
    """ "path:number" and text of each line of a txt file that is not blank; a missing file has none."""
    return list(read_lines(path, REMEDY)) if is_file(path) else []


def parse_row(line: str, form: LineForm, where: str) -> Row:
    """Read one line: label and corners in fractions of the image.

    Args:
        line: of a txt file.
        form: what a line of this data set may hold.
        where: file and line, for the message.

    Raises:
        UserError: the line is malformed; an UndecidedError if its numbers are not those of this data set.
    """
    words = line.split()
    if "," in line:
        remedy = "write blanks between the numbers, and points in them"
        raise UndecidedError(f"{where}: {quoted(line.strip())} has commas; {remedy}")
    numbers = _numbers(line, words, where)
    if len(numbers) < 5:
        raise UserError(f"{where}: {quoted(line.strip())} is not 'class cx cy w h'; complete or remove the line")
    if form.keypoints and len(numbers) == 5 + form.keypoints:
        numbers = numbers[:5]
    if len(numbers) % 2 == 0:
        if len(numbers) == 6 and all(0 <= number <= 1 for number in numbers[1:]):
            counted = "6 numbers are 'class cx cy w h' and one more, as of a prediction its confidence"
            raise UndecidedError(f"{where}: {counted}; remove this column if the boxes are right")
        counted = f"{len(numbers)} numbers are neither 'class cx cy w h' nor 'class' and the x y pairs of a polygon"
        raise UserError(f"{where}: {counted}; correct or remove the line")
    label, values = numbers[0], np.array(numbers[1:])
    if label not in range(form.num_classes):
        remedy = f"correct the line, or complete the classes of {form.source}"
        raise UndecidedError(
            f"{where}: class {words[0][:LONGEST_QUOTE]} is not one of 0..{form.num_classes - 1}; {remedy}"
        )
    outside = np.flatnonzero((values < -_TOLERANCE) | (values > 1 + _TOLERANCE))
    if len(outside):
        remedy = "divide x and w by the image's width, y and h by its height"
        raise UndecidedError(
            f"{where}: {words[1 + outside[0]][:LONGEST_QUOTE]} is not a fraction of the image, 0..1; {remedy}"
        )
    corners = _corners(values)
    inside = corners.clip(0, 1)
    x1, y1, x2, y2 = np.where(np.abs(corners - inside) <= _ROUNDING, inside, corners).tolist()
    return int(label), x1, y1, x2, y2


def _numbers(line: str, words: Sequence[str], where: str) -> list[float]:
    try:
        return [finite_number(word, where, "correct the line") for word in words]
    except UserError:
        other = other_line(line)
        if other is None:
            raise
        raise UndecidedError(f"{where}: {other}") from None


def _corners(values: np.ndarray) -> np.ndarray:
    """Convert (cx, cy, w, h), or the points of a polygon, to (x1, y1, x2, y2)."""
    if len(values) == 4:
        center, half = values[:2], values[2:] / 2
        return np.concatenate([center - half, center + half])
    points = values.reshape(-1, 2)
    return np.concatenate([points.min(0), points.max(0)])


def _annotation(path: Path, name: str, rows: Sequence[Row]) -> Annotation:
    """Make the annotation of an image, without repeated objects."""
    height, width = image_size(path)
    table = np.array(list(dict.fromkeys(rows)), np.float64).reshape(-1, 5)
    return Annotation(str(path), name, (height, width), table[:, 1:] * [width, height, width, height], table[:, 0])


def _warn_of_missing(images: dict[str, ListedImage]) -> None:
    missing = [i for i, image in images.items() if not is_file(image.label)]
    if missing:
        logger.warning(
            "%d of %d images have no txt file (first: %s) and count as images without objects",
            *(len(missing), len(images), missing[0]),
        )


def _warn_of_repeated(rows: Sequence[Sequence[Row]], ids: Sequence[str]) -> None:
    repeated = [len(own) - len(set(own)) for own in rows]
    if any(repeated):
        first = ids[int(np.flatnonzero(repeated)[0])]
        logger.warning("%d objects repeat another of their image and were dropped (first: %s)", sum(repeated), first)
