"""What a data set must have for a training to learn from it, and signs that its numbers mean something else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resdet.data.detection.coco_values import finite
from resdet.errors import UserError

if TYPE_CHECKING:
    from resdet.data.detection.annotations import AnnotationTable

ROTATED = "are rotated in CVAT, and their boxes are those before the rotation; draw boxes around them"
_FEWEST = 5  # boxes of which can be told what their numbers mean
_FAR = 0.1  # of the image's side: boxes around large objects, and those of a detector, reach less beyond it


def refuse_fractions(table: AnnotationTable, source: str | Path) -> None:
    """Refuse boxes that are fractions of their images where a format has pixels: they would be less than a pixel large.

    Args:
        table: of the whole data set, not clipped yet.
        source: what lists the images, for the message.

    Raises:
        UserError: all boxes lie in the first two pixels, and not on their corners.
    """
    boxes = table.boxes
    # 2, because readers of inclusive pixels, such as DET's, have added 1 to the right and lower sides.
    if len(boxes) and (np.abs(boxes) <= 2).all() and (boxes % 1 != 0).any() and (table.sizes > 4).all():
        raise UserError(
            f"{source}: all {len(boxes)} boxes lie in the first pixels: they are fractions of the images; multiply x "
            "by the width and y by the height"
        )


def refuse_corners(table: AnnotationTable, source: str | Path) -> None:
    """Refuse boxes (x1, y1, x2, y2) where a format has (x, y, width, height): they would be clipped to wrong ones.

    Args:
        table: of the whole data set, not clipped yet.
        source: what lists the images, for the message.

    Raises:
        UserError: half of the boxes extend beyond their image, a quarter far, and all lie in it if they are read as
            corners.
    """
    sizes = np.repeat(table.sizes, np.diff(table.offsets), axis=0)
    _refuse_corners(table.boxes, sizes, source, (table.boxes[:, :2], "x, y, width, height"))


def refuse_result_corners(boxes: np.ndarray, sizes: np.ndarray, path: Path) -> None:
    """Refuse detections (x1, y1, x2, y2) in a file of COCO results, which has (x, y, width, height).

    Args:
        boxes: as they were read, corners, float64 [D, 4].
        sizes: (height, width) of the image of each, int [D, 2].
        path: the file, for the message.

    Raises:
        UserError: see `refuse_corners`.
    """
    _refuse_corners(boxes, sizes, path, (boxes[:, :2], "x, y, width, height"))


def refuse_yolo_corners(table: AnnotationTable, source: str | Path) -> None:
    """Refuse lines (class, x1, y1, x2, y2) where YOLO has (class, cx, cy, w, h).

    Args:
        table: of the whole data set, not clipped yet.
        source: what lists the images, for the message.

    Raises:
        UserError: half of the boxes extend beyond their image, a quarter far, and all lie in it if they are read as
            corners.
    """
    sizes = np.repeat(table.sizes, np.diff(table.offsets), axis=0)
    _refuse_corners(table.boxes, sizes, source, ((table.boxes[:, :2] + table.boxes[:, 2:]) / 2, "cx, cy, w, h"))


def _refuse_corners(boxes: np.ndarray, sizes: np.ndarray, source: str | Path, written: tuple[np.ndarray, str]) -> None:
    """Refuse boxes that lie in their images only if the numbers of the file are corners.

    Args:
        boxes: corners, as the format has them, float64 [M, 4].
        sizes: (height, width) of the image of each, int [M, 2].
        source: for the message.
        written: the first two numbers of each box in the file, [M, 2], and what the four should be; the last two are
            the sides.
    """
    first, form = written
    sides = sizes[:, ::-1]  # width and height
    largest = sides + 1
    reach = np.maximum(-boxes[:, :2], boxes[:, 2:] - sides)
    beyond, far = (reach > 1).any(1), (reach > _FAR * sides).any(1)
    second = boxes[:, 2:] - boxes[:, :2]  # what the file has in the places of the sides
    fit = ((first >= -1) & (second > first) & (second <= largest)).all(1)
    if len(boxes) >= _FEWEST and beyond.mean() >= 0.5 and far.mean() >= 0.25 and fit.all():
        raise UserError(
            f"{source}: {beyond.sum()} of {len(boxes)} boxes extend beyond their image, and all lie in it if they are "
            f"x1, y1, x2, y2; write {form}"
        )


def rotation_changes_box(degrees: object) -> bool:
    """Whether an object has another box after a rotation by this angle, as written in a file; False for no number."""
    angle = finite(degrees)
    return not math.isnan(angle) and angle % 180 != 0


def unlearnable(table: AnnotationTable) -> str | None:
    """Why nothing can be learned from a data set, for messages; None where it can."""
    if not len(table.labels):
        return f"its {len(table)} images have no objects; annotate some, or read the warnings above"
    if table.crowd.all():
        return f"all {len(table.labels)} objects are crowds, which are not learned; correct 'iscrowd'"
    return None


def require_learnable(table: AnnotationTable, what: str) -> None:
    """Refuse a training set without an object that is learned.

    Args:
        table: of the training set.
        what: its name, for the message.

    Raises:
        UserError: there is none.
    """
    why = unlearnable(table)
    if why is not None:
        raise UserError(f"{what}: {why}")


def require_scorable(table: AnnotationTable, what: str) -> None:
    """Refuse a test set without an object that counts in AP: the figures of its detections would mean nothing.

    Args:
        table: of the test set.
        what: its name, for the message.

    Raises:
        UserError: there is no object, or all are difficult or crowds.
    """
    if not (table.difficult | table.crowd).all():
        return
    objects = len(table.labels)
    why = (
        f"all its objects ({objects}) are difficult or crowds"
        if objects
        else f"its {len(table)} images have no objects"
    )
    raise UserError(f"{what}: {why}, so nothing can be scored; give a test set with annotated objects")
