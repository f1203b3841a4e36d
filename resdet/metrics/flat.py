"""Detections and ground truth of a whole data set as flat arrays, one row per box: what the detection metrics take.

detections = FlatDetections(image, label, score, box)
truth = FlatTruth(image, label, box, difficult)

Boxes are continuous (x1, y1, x2, y2) in pixels, x2 - x1 is the width. The development kits of VOC and ILSVRC measure
inclusive pixels, x2 - x1 + 1; the readers in `resdet.data` convert them exactly, so that no "+ 1" appears in a metric.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass
class FlatDetections:
    """D detections of all images, in any order.

    Raises:
        ValueError: arrays of different lengths, or a score or box that is not finite.
    """

    image: Array  # int64 [D], index of the image
    label: Array  # int64 [D], 0..K-1
    score: Array  # float [D]
    box: Array  # float [D, 4], x1, y1, x2, y2

    def __post_init__(self) -> None:
        self.image, self.label = _int_vector(self.image), _int_vector(self.label)
        self.score = np.asarray(self.score).reshape(-1)
        self.box = np.asarray(self.box).reshape(-1, 4)
        _check_lengths(self.image, self.label, self.score, self.box)
        _check_finite(self.score, self.box)

    def __len__(self) -> int:
        return len(self.label)


@dataclass
class FlatTruth:
    """G ground-truth boxes of all images, in any order.

    Raises:
        ValueError: arrays of different lengths, or a box that is not finite.
    """

    image: Array  # int64 [G], index of the image
    label: Array  # int64 [G], 0..K-1
    box: Array  # float [G, 4], x1, y1, x2, y2
    difficult: Array  # bool [G], neither true nor false positives when detected, not counted for recall

    def __post_init__(self) -> None:
        self.image, self.label = _int_vector(self.image), _int_vector(self.label)
        self.box = np.asarray(self.box).reshape(-1, 4)
        self.difficult = np.asarray(self.difficult, bool).reshape(-1)
        _check_lengths(self.image, self.label, self.difficult, self.box)
        _check_finite(self.box)

    def __len__(self) -> int:
        return len(self.label)


Rows = TypeVar("Rows", FlatDetections, FlatTruth)


def image_class_keys(image: Array, label: Array, num_classes: int) -> Array:
    """One integer per (image, class) pair: int64 [D] of image [D] and label [D]."""
    keys: Array = image * num_classes + label
    return keys


def without_pairs(rows: Rows, pairs: Array, num_classes: int) -> Rows:
    """`rows` without those of the (image, class) pairs int64 [E, 2]."""
    image, label = _int_vector(pairs).reshape(-1, 2).T
    excluded = image_class_keys(image, label, num_classes)
    keep = ~np.isin(image_class_keys(rows.image, rows.label, num_classes), excluded)
    return type(rows)(*(getattr(rows, field.name)[keep] for field in fields(rows)))


def box_areas(box: Array) -> Array:
    """Area of boxes [..., 4] -> [...]; 0 for a box with x2 < x1 or y2 < y1."""
    areas: Array = (box[..., 2:] - box[..., :2]).clip(min=0).prod(-1)
    return areas


def paired_iou(a: Array, b: Array) -> Array:
    """IoU of boxes [..., 4] with the boxes [..., 4] in the same place -> [...]; 0 where they do not overlap."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = sides.clip(min=0).prod(-1)
    union = box_areas(a) + box_areas(b) - intersection
    # A quotient, as the kits compute it, not 2 * intersection >= union: both are exact for whole pixels.
    ious: Array = np.divide(intersection, union, out=np.zeros_like(intersection), where=intersection > 0)
    return ious


def pair_greedily(iou: Array, threshold: float) -> Array:
    """Give each detection the object that it overlaps most among those that are still free, in order.

    Args:
        iou: [D, G], the detections by descending score.
        threshold: a pair needs at least this IoU, above 0.

    Returns:
        int64 [D], the object's column, or -1.
    """
    partner, free = np.full(len(iou), -1), iou.copy()
    for row in np.flatnonzero(iou.max(1, initial=0) >= threshold):
        column = free[row].argmax()
        if free[row, column] >= threshold:
            partner[row], free[:, column] = column, 0
    return partner


def _int_vector(values: Array) -> Array:
    return np.asarray(values, np.int64).reshape(-1)


def _check_finite(*arrays: Array) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("a score or a box is not finite: it can neither be ordered nor compared")


def _check_lengths(*arrays: Array) -> None:
    if len({len(array) for array in arrays}) > 1:
        raise ValueError(f"arrays of different lengths: {[len(array) for array in arrays]}")
