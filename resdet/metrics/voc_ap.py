"""Average precision by the rules of the PASCAL VOC development kit.

    detections = FlatDetections(image, label, score, box)         # one row per detection, all images and classes
    truth = FlatTruth(image, label, box, difficult)
    result = evaluate_voc(detections, truth, num_classes=20, method="11-point")       # VOC 2007; "area" since 2010
    result.mean_ap, result.classes[3].ap, result.by_size["small"]

The rules, from VOCevaldet.m:
  - The detections of a class are processed by descending score; equal scores keep their order.
  - Each is compared with the ground-truth box of its image and class with the highest IoU, difficult ones included.
  - IoU >= threshold: a hit if that box has not been hit before, else a false positive, even if another box is still
    free. IoU below the threshold: a false positive.
  - A detection of a difficult box is neither hit nor false positive, and difficult boxes do not count for recall.
"""

from __future__ import annotations

import numpy as np

from resdet.metrics.flat import Array, FlatDetections, FlatTruth, box_areas
from resdet.metrics.precision_recall import (
    MatchedDetections,
    Method,
    VocResult,
    class_curves,
    evaluate_matches,
    mean_of_classes,
    overlapping_pairs,
    sort_detections,
)

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())


def evaluate_voc(
    detections: FlatDetections, truth: FlatTruth, num_classes: int, iou: float = 0.5, method: Method = "area"
) -> VocResult:
    """Average precision of each class by VOC's rules.

    A class without ground truth (or with difficult boxes only) has AP NaN and is left out of the mean. A class with
    ground truth but no detections has AP 0. For `by_size`, ground-truth boxes whose area is outside COCO's range are
    treated as difficult, and false positives whose own area is outside do not count.

    Args:
        detections: of all images.
        truth: of the same images, matched by index.
        num_classes: K, labels are 0..K-1.
        iou: a hit needs at least this IoU (">=" as in the development kit), in (0, 1].
        method: "11-point" as in VOC 2007, "area" as since 2010.

    Raises:
        ValueError: a label outside 0..K-1, an IoU outside (0, 1], an unknown method.
    """
    return evaluate_matches(_match(detections, truth, num_classes), truth, num_classes, iou, method)


def mean_ap_range(
    detections: FlatDetections,
    truth: FlatTruth,
    num_classes: int,
    thresholds: tuple[float, ...] = COCO_THRESHOLDS,
    method: Method = "area",
) -> float:
    """Mean AP over several IoU thresholds by VOC's rules, in 0..1; IoUs are computed only once.

    Args:
        detections, truth, num_classes, method: as in `evaluate_voc`.
        thresholds: IoUs of a hit; the default is COCO's 0.50:0.05:0.95.
    """
    matches = _match(detections, truth, num_classes)
    means = [mean_of_classes(class_curves(matches, truth.difficult, num_classes, iou, method)) for iou in thresholds]
    return float(np.mean(means))


def _match(detections: FlatDetections, truth: FlatTruth, num_classes: int) -> MatchedDetections:
    """Sorted detections, each with the ground-truth box of its image and class that it overlaps most."""
    found = sort_detections(detections, truth, num_classes)
    overlap, best = _best_truth(found, truth, num_classes)
    return MatchedDetections(found.label, found.score, box_areas(found.box), overlap, best, truth.label)


def _best_truth(found: FlatDetections, truth: FlatTruth, num_classes: int) -> tuple[Array, Array]:
    """The highest IoU [D] with a ground-truth box of the same image and class, and the index [D] of the first such."""
    overlap, best = np.zeros(len(found)), np.full(len(found), -1)
    for detection, partner, iou in overlapping_pairs(found, truth, num_classes):
        start = np.flatnonzero(np.diff(detection, prepend=-1))  # where the pairs of each detection begin
        overlap[detection[start]] = np.maximum.reduceat(iou, start)
        is_best = np.flatnonzero(iou == overlap[detection])
        rows, first_best = np.unique(detection[is_best], return_index=True)
        best[rows] = partner[is_best[first_best]]
    return overlap, best
