"""Precision-recall curves and average precision, from detections that are already matched with ground-truth boxes.

ap = average_precision(recall, precision, method="11-point")

Shared by the rules of VOC (voc_ap.py) and ILSVRC (ilsvrc_ap.py), which differ in how a detection finds its
ground-truth box.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from resdet.metrics.flat import Array, FlatDetections, FlatTruth, box_areas, image_class_keys, paired_iou

Method = Literal["area", "11-point"]

# COCO's areas in pixels (pycocotools, Params.areaRng), both ends included as there.
SIZE_RANGES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}

_PAIRS_AT_ONCE = 2_000_000  # pairs of a detection and a ground-truth box compared at once: about 200 MB


@dataclass
class ClassResult:
    """The precision-recall curve of one class; T detections count (those on difficult objects do not)."""

    ap: float  # in 0..1; NaN if there is no ground truth
    recall: Array  # float64 [T], ascending
    precision: Array  # float64 [T]
    score: Array  # [T], descending: the score threshold of each point of the curve
    num_truth: int  # ground-truth boxes that count, without difficult ones


@dataclass
class VocResult:
    """Average precision of a data set, in 0..1."""

    mean_ap: float  # over the classes with ground truth
    classes: list[ClassResult]  # [K]
    by_size: dict[str, float]  # mean AP of small, medium and large objects; NaN where there are none


@dataclass
class MatchedDetections:
    """D detections sorted by class, then by descending score, each with the ground-truth box that it may hit."""

    label: Array  # int64 [D]
    score: Array  # [D]
    area: Array  # float64 [D], of the detections' boxes
    overlap: Array  # float64 [D], IoU with the ground-truth box; 0 where there is none
    truth: Array  # int64 [D], index of the ground-truth box; -1 where there is none
    truth_label: Array  # int64 [G]


def average_precision(recall: Array, precision: Array, method: Method = "area") -> float:
    """AP of one precision-recall curve.

    Args:
        recall: [T], ascending; the points by descending score.
        precision: [T].
        method: "area" (VOC since 2010, ILSVRC): the area under the curve, where every precision is raised to the
            highest precision at the same or a higher recall. "11-point" (VOC 2007): the mean of these precisions at
            recalls 0, 0.1, ... 1, and 0 beyond the last recall.

    Returns:
        AP in 0..1.

    Raises:
        ValueError: an unknown method.
    """
    recall, precision = np.asarray(recall, np.float64), np.asarray(precision, np.float64)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if method == "area":
        return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
    if method == "11-point":
        # k / 10, not k * 0.1: a recall of 3 / 10 has to reach the third level, and 3 * 0.1 > 3 / 10.
        first = np.searchsorted(recall, np.arange(11) / 10)
        return float(np.append(envelope, 0.0)[first].mean())
    raise ValueError(f"unknown AP method {method!r}: 'area' or '11-point'")


def sort_detections(detections: FlatDetections, truth: FlatTruth, num_classes: int) -> FlatDetections:
    """Detections by class, then by descending score (equal scores keep their order), with float64 boxes.

    Raises:
        ValueError: a label of either outside 0..num_classes-1.
    """
    for labels in (detections.label, truth.label):
        if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(f"labels must be 0..{num_classes - 1}, found {labels.min()}..{labels.max()}")
    order = np.lexsort((-detections.score, detections.label))  # lexsort is stable
    label, box = detections.label[order], detections.box[order].astype(np.float64)
    return FlatDetections(detections.image[order], label, detections.score[order], box)


def overlapping_pairs(
    found: FlatDetections, truth: FlatTruth, num_classes: int
) -> Iterator[tuple[Array, Array, Array]]:
    """All pairs of a detection and a ground-truth box of the same image and class, in chunks of whole detections.

    Yields:
        Rows of `found` int64 [P], ascending; indices of ground-truth boxes int64 [P], ascending for each detection;
        IoUs float64 [P], which may be 0.
    """
    key, truth_key = (image_class_keys(rows.image, rows.label, num_classes) for rows in (found, truth))
    by_key = np.argsort(truth_key, kind="stable")
    sorted_key, truth_box = truth_key[by_key], truth.box.astype(np.float64)
    first = np.searchsorted(sorted_key, key, "left")
    count = np.searchsorted(sorted_key, key, "right") - first

    candidates = np.flatnonzero(count)
    chunks = max(1, -(-int(count.sum()) // _PAIRS_AT_ONCE))
    for rows in np.array_split(candidates, chunks):
        if not len(rows):
            continue
        start = np.cumsum(count[rows]) - count[rows]  # where the pairs of each detection begin
        detection = np.repeat(rows, count[rows])
        partner = by_key[np.arange(len(detection)) + np.repeat(first[rows] - start, count[rows])]
        yield detection, partner, paired_iou(found.box[detection], truth_box[partner])


def evaluate_matches(
    matches: MatchedDetections, truth: FlatTruth, num_classes: int, iou: float, method: Method
) -> VocResult:
    """Curves and AP per class, and mean AP by size.

    Args:
        matches: detections with their ground-truth box.
        truth: all ground-truth boxes.
        num_classes: K.
        iou: a hit needs at least this overlap.
        method: as in `average_precision`.
    """
    classes = class_curves(matches, truth.difficult, num_classes, iou, method)
    areas = box_areas(truth.box.astype(np.float64))
    by_size = {}
    for name, (low, high) in SIZE_RANGES.items():
        ignored = truth.difficult | (areas < low) | (areas > high)
        by_size[name] = mean_of_classes(class_curves(matches, ignored, num_classes, iou, method, (low, high)))
    return VocResult(mean_of_classes(classes), classes, by_size)


def class_curves(
    matches: MatchedDetections,
    ignored: Array,
    num_classes: int,
    iou: float,
    method: Method,
    area_range: tuple[float, float] | None = None,
) -> list[ClassResult]:
    """The precision-recall curve of each class, [K].

    Args:
        matches: detections with their ground-truth box.
        ignored: bool [G], ground-truth boxes that are treated as difficult.
        num_classes: K.
        iou: a hit needs at least this overlap.
        method: as in `average_precision`.
        area_range: false positives whose area is outside do not count; None: all count.

    Raises:
        ValueError: an IoU outside (0, 1].
    """
    if not 0 < iou <= 1:
        raise ValueError(f"the IoU of a hit must be above 0 and at most 1, not {iou}")
    over = np.flatnonzero(matches.overlap >= iou)
    on_truth = matches.truth[over]
    hit = np.zeros(len(matches.label), bool)
    # Of all detections on one ground-truth box the first in order hits it: np.unique returns first occurrences.
    hit[over[np.unique(on_truth, return_index=True)[1]]] = True
    counts = np.ones(len(matches.label), bool)
    counts[over[ignored[on_truth]]] = False
    if area_range is not None:
        low, high = area_range
        counts &= hit | ((matches.area >= low) & (matches.area <= high))

    num_truth = np.bincount(matches.truth_label[~ignored], minlength=num_classes)
    bounds = np.searchsorted(matches.label[counts], np.arange(num_classes + 1))
    hit, score = hit[counts], matches.score[counts]
    return [
        _class_result(hit[low:high], score[low:high], int(total), method)
        for low, high, total in zip(bounds[:-1], bounds[1:], num_truth, strict=True)
    ]


def _class_result(hit: Array, score: Array, num_truth: int, method: Method) -> ClassResult:
    hits = np.cumsum(hit)
    precision = hits / np.arange(1, len(hits) + 1)
    if num_truth == 0:
        return ClassResult(float("nan"), np.full(len(hits), np.nan), precision, score, 0)
    recall = hits / num_truth
    return ClassResult(average_precision(recall, precision, method), recall, precision, score, num_truth)


def mean_of_classes(classes: list[ClassResult]) -> float:
    """Mean AP over the classes with ground truth; NaN if there is none."""
    found = [result.ap for result in classes if result.num_truth]
    return float(np.mean(found)) if found else float("nan")
