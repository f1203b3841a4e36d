"""Average precision by the rules of the PASCAL VOC devkit: arrays in, numbers out.

    detections = FlatDetections(image, label, score, box)         # all images and classes, one row a detection
    truth = FlatTruth(image, label, box, difficult)
    result = evaluate_voc(detections, truth, num_classes=20, method="11-point")       # 2007; "area" since 2010
    result.mean_ap, result.classes[3].ap, result.by_size["small"]
    result = evaluate_ilsvrc_det(detections, truth, num_classes=200)                  # ImageNet's detection task

The rules, from VOCevaldet.m:
  - detections of a class are taken by falling score; equal scores keep their order;
  - each looks for the truth of its image and class with the highest IoU, difficult ones included;
  - IoU >= threshold: a hit if that truth has not been hit before, else a false positive (also when another truth
    would still have been free); below the threshold: a false positive;
  - what falls on a difficult truth is neither hit nor miss, and difficult truths do not count for recall.
ILSVRC's differ in two points, see `evaluate_ilsvrc_det`.

Boxes are continuous, x2 - x1 is the width. The devkit measures 1-based inclusive pixels, x2 - x1 + 1; a reader that
subtracts 1 from xmin and ymin turns one into the other exactly, so no "+ 1" appears here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal, TypeVar

import numpy as np

Method = Literal["area", "11-point"]

# COCO's areas in pixels (pycocotools, Params.areaRng), both ends included as there.
SIZE_RANGES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())

ILSVRC_IOU = 0.5
ILSVRC_TOLERANCE = 10.0  # pixels that a side may be too long: some 5 at each end, what annotators are off by

_PAIRS_AT_ONCE = 2_000_000  # detection-truth pairs compared in one go: bounds the memory to some 200 MB


@dataclass
class FlatDetections:
    """D detections of any number of images, in any order."""

    image: np.ndarray  # int64 [D], index of the image
    label: np.ndarray  # int64 [D], 0..K-1
    score: np.ndarray  # float [D]
    box: np.ndarray  # float [D, 4], continuous x1, y1, x2, y2

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
    """G objects of any number of images, in any order."""

    image: np.ndarray  # int64 [G], index of the image
    label: np.ndarray  # int64 [G], 0..K-1
    box: np.ndarray  # float [G, 4], continuous x1, y1, x2, y2
    difficult: np.ndarray  # bool [G]

    def __post_init__(self) -> None:
        self.image, self.label = _int_vector(self.image), _int_vector(self.label)
        self.box = np.asarray(self.box).reshape(-1, 4)
        self.difficult = np.asarray(self.difficult, bool).reshape(-1)
        _check_lengths(self.image, self.label, self.difficult, self.box)
        _check_finite(self.box)

    def __len__(self) -> int:
        return len(self.label)


_Rows = TypeVar("_Rows", FlatDetections, FlatTruth)


@dataclass
class ClassResult:
    """The precision-recall curve of one class; T detections count (those on difficult truths do not)."""

    ap: float  # NaN without truth to find
    recall: np.ndarray  # float64 [T], rising
    precision: np.ndarray  # float64 [T]
    score: np.ndarray  # [T], falling: the threshold of each point of the curve
    num_truth: int  # objects that count, difficult ones left out


@dataclass
class VocResult:
    """What `evaluate_voc` and `evaluate_ilsvrc_det` answer. Fractions, not percent."""

    mean_ap: float
    classes: list[ClassResult]  # [K]
    by_size: dict[str, float]  # mean AP of small, medium and large objects; NaN where there are none


def evaluate_voc(
    detections: FlatDetections, truth: FlatTruth, num_classes: int, iou: float = 0.5, method: Method = "area"
) -> VocResult:
    """Score detections against the truth, each class by itself.

    A class without truth (or with difficult truth alone) has AP NaN and is left out of the mean: there was nothing to
    find. A class with truth and no detections has AP 0. `by_size` looks only at truths whose box area lies in COCO's
    range; other truths are treated as difficult, and misses whose own area is out of the range are not held against it.

    Args:
        detections, truth: see their classes; images are matched by index.
        num_classes: K, labels are 0..K-1.
        iou: a hit needs at least this IoU (the devkit's >=), above 0.
        method: "11-point" as in VOC 2007, "area" as since 2010.

    Raises:
        ValueError: a label outside 0..K-1, an IoU outside (0, 1], an unknown method.
    """
    return _result(_match(detections, truth, num_classes), truth, num_classes, iou, method)


def evaluate_ilsvrc_det(
    detections: FlatDetections, truth: FlatTruth, num_classes: int, excluded: np.ndarray | None = None
) -> VocResult:
    """Score detections as ImageNet's detection task does (ILSVRC's eval_detection.m; Russakovsky et al. 2015).

    Two points differ from `evaluate_voc`: a hit on a small object needs a lower IoU (`ilsvrc_thresholds`), and a
    detection looks only at the truths that are still free, at those whose own threshold it reaches, and takes the one
    with the highest IoU. AP is the area, as in VOC since 2010. ILSVRC has no difficult objects; where there are, a
    detection that takes one does not count.

    Args:
        detections, truth, num_classes: as for `evaluate_voc`.
        excluded: int [E, 2], (image, class) pairs that do not count, neither their objects nor their detections:
            ILSVRC's blacklist of images where a class is too ambiguous.

    Raises:
        ValueError: a label outside 0..K-1.
    """
    if excluded is not None:
        image, label = _int_vector(excluded).reshape(-1, 2).T
        keys = _keys(image, label, num_classes)
        detections, truth = _without(detections, keys, num_classes), _without(truth, keys, num_classes)
    found = _in_order(detections, truth, num_classes)
    taken = _take_free_truths(found, truth, num_classes, ilsvrc_thresholds(truth.box))
    # Each truth is taken once at most, so that `_curves` has only to see who took one: an "IoU" of 1, else 0.
    matches = _Matches(found.label, found.score, _areas(found.box), (taken >= 0).astype(float), taken, truth.label)
    return _result(matches, truth, num_classes, 1.0, "area")


def ilsvrc_thresholds(box: np.ndarray) -> np.ndarray:
    """IoU [G] that a hit on each true box [G, 4] needs: min(.5, w h / ((w + 10) (h + 10))); .25 for 10x10 pixels.

    Boxes longer than the true one by `ILSVRC_TOLERANCE` on both sides still reach it. It is below .5 for squares
    under some 24 pixels.
    """
    sides = box[:, 2:].astype(np.float64) - box[:, :2]
    return np.minimum(ILSVRC_IOU, sides.prod(1) / (sides + ILSVRC_TOLERANCE).prod(1))


def mean_ap_range(
    detections: FlatDetections,
    truth: FlatTruth,
    num_classes: int,
    thresholds: tuple[float, ...] = COCO_THRESHOLDS,
    method: Method = "area",
) -> float:
    """Mean AP over IoU thresholds, by default COCO's .50:.05:.95, by VOC's rules. IoUs are computed once only."""
    matches = _match(detections, truth, num_classes)
    return float(np.mean([_mean(_curves(matches, truth.difficult, num_classes, iou, method)) for iou in thresholds]))


def average_precision(recall: np.ndarray, precision: np.ndarray, method: Method = "area") -> float:
    """AP of one curve, points by falling score: recall and precision are [T].

    "area" is the area under the curve after every precision is raised to the best one at the same or a higher recall.
    "11-point" is the mean of that envelope at recalls 0, .1, ... 1, and 0 beyond the last recall.
    """
    recall, precision = np.asarray(recall, np.float64), np.asarray(precision, np.float64)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if method == "area":
        return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
    if method == "11-point":
        # k / 10 and not multiples of .1: a recall of 3 / 10 must reach the third level, and 3 * .1 > 3 / 10.
        first = np.searchsorted(recall, np.arange(11) / 10)
        return float(np.append(envelope, 0.0)[first].mean())
    raise ValueError(f"unknown AP method {method!r}: 'area' or '11-point'")


@dataclass
class _Matches:
    """Detections sorted by class, then falling score, each with the truth that it may hit."""

    label: np.ndarray  # int64 [D]
    score: np.ndarray  # [D]
    area: np.ndarray  # float64 [D]
    overlap: np.ndarray  # float64 [D], 0 where there is no truth
    truth: np.ndarray  # int64 [D], index into the truths (VOC: the devkit's first best one); -1 where there is none
    truth_label: np.ndarray  # int64 [G]


def _match(detections: FlatDetections, truth: FlatTruth, num_classes: int) -> _Matches:
    """VOC's rule: each detection looks at the truth that it overlaps best."""
    found = _in_order(detections, truth, num_classes)
    overlap, best = _best_truth(found, truth, num_classes)
    return _Matches(found.label, found.score, _areas(found.box), overlap, best, truth.label)


def _in_order(detections: FlatDetections, truth: FlatTruth, num_classes: int) -> FlatDetections:
    """Detections by class, then falling score; boxes float64."""
    for labels in (detections.label, truth.label):
        if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(f"labels must be 0..{num_classes - 1}, found {labels.min()}..{labels.max()}")
    order = np.lexsort((-detections.score, detections.label))  # lexsort is stable: ties keep their order
    label, box = detections.label[order], detections.box[order].astype(np.float64)
    return FlatDetections(detections.image[order], label, detections.score[order], box)


def _best_truth(found: FlatDetections, truth: FlatTruth, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Highest IoU [D] with a truth of the same image and class, and that truth's index [D]."""
    overlap, best = np.zeros(len(found)), np.full(len(found), -1)
    for detection, partner, iou in _pairs(found, truth, num_classes):
        start = np.flatnonzero(np.diff(detection, prepend=-1))  # where the pairs of each detection begin
        overlap[detection[start]] = np.maximum.reduceat(iou, start)
        is_best = np.flatnonzero(iou == overlap[detection])
        rows, first_best = np.unique(detection[is_best], return_index=True)
        best[rows] = partner[is_best[first_best]]
    return overlap, best


def _take_free_truths(found: FlatDetections, truth: FlatTruth, num_classes: int, threshold: np.ndarray) -> np.ndarray:
    """The truth [D] that each detection takes, one after the other; -1 where none is left. threshold: [G]."""
    taken = np.full(len(found), -1)
    free = [True] * len(truth)
    for detection, partner, iou in _pairs(found, truth, num_classes):
        enough = iou >= threshold[partner]
        detection, partner, iou = detection[enough], partner[enough], iou[enough]
        order = np.lexsort((-iou, detection))  # stable: of truths with one IoU the first
        # A plain loop: what is free depends on all that came before. Few pairs reach their threshold.
        for row, choice in zip(detection[order].tolist(), partner[order].tolist(), strict=True):
            if free[choice] and taken[row] < 0:
                taken[row], free[choice] = choice, False
    return taken


def _pairs(
    found: FlatDetections, truth: FlatTruth, num_classes: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All pairs with the same image and class, in chunks of whole detections: rows of `found` [P], rising; indices of
    truths [P], rising for each detection; IoUs [P]."""
    key, truth_key = (_keys(rows.image, rows.label, num_classes) for rows in (found, truth))
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
        yield detection, partner, _paired_iou(found.box[detection], truth_box[partner])


def _keys(image: np.ndarray, label: np.ndarray, num_classes: int) -> np.ndarray:
    """One number for each (image, class)."""
    return image * num_classes + label


def _without(rows: _Rows, excluded_keys: np.ndarray, num_classes: int) -> _Rows:
    keep = ~np.isin(_keys(rows.image, rows.label, num_classes), excluded_keys)
    return type(rows)(*(getattr(rows, field.name)[keep] for field in fields(rows)))


def _result(matches: _Matches, truth: FlatTruth, num_classes: int, iou: float, method: Method) -> VocResult:
    classes = _curves(matches, truth.difficult, num_classes, iou, method)
    areas = _areas(truth.box.astype(np.float64))
    by_size = {}
    for name, (low, high) in SIZE_RANGES.items():
        ignored = truth.difficult | (areas < low) | (areas > high)
        by_size[name] = _mean(_curves(matches, ignored, num_classes, iou, method, (low, high)))
    return VocResult(_mean(classes), classes, by_size)


def _curves(
    matches: _Matches,
    ignored: np.ndarray,
    num_classes: int,
    iou: float,
    method: Method,
    area_range: tuple[float, float] | None = None,
) -> list[ClassResult]:
    """One curve a class. ignored: bool [G], truths that are neither hit nor miss."""
    if not 0 < iou <= 1:
        raise ValueError(f"the IoU of a hit must be above 0 and at most 1, not {iou}")
    over = np.flatnonzero(matches.overlap >= iou)
    on_truth = matches.truth[over]
    hit = np.zeros(len(matches.label), bool)
    # Of all detections on one truth the first of the sorted order hits it: np.unique returns first occurrences.
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


def _class_result(hit: np.ndarray, score: np.ndarray, num_truth: int, method: Method) -> ClassResult:
    hits = np.cumsum(hit)
    precision = hits / np.arange(1, len(hits) + 1)
    if num_truth == 0:
        return ClassResult(float("nan"), np.full(len(hits), np.nan), precision, score, 0)
    recall = hits / num_truth
    return ClassResult(average_precision(recall, precision, method), recall, precision, score, num_truth)


def _mean(classes: list[ClassResult]) -> float:
    found = [result.ap for result in classes if result.num_truth]
    return float(np.mean(found)) if found else float("nan")


def _paired_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU [P] of the rows of two [P, 4]; 0 where the union is empty."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    inter = sides.clip(min=0).prod(1)
    union = _areas(a) + _areas(b) - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def _areas(box: np.ndarray) -> np.ndarray:
    return (box[:, 2:] - box[:, :2]).clip(min=0).prod(1)


def _int_vector(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.int64).reshape(-1)


def _check_finite(*arrays: np.ndarray) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("a score or a box is not finite: it can neither be ordered nor compared")


def _check_lengths(*arrays: np.ndarray) -> None:
    if len({len(array) for array in arrays}) > 1:
        raise ValueError(f"arrays of different lengths: {[len(array) for array in arrays]}")
