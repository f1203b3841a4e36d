"""Average precision by the rules of ImageNet's detection task (ILSVRC's eval_detection.m; Russakovsky et al. 2015).

    result = evaluate_ilsvrc_det(detections, truth, num_classes=200)

Two rules differ from VOC's (voc_ap.py). A hit on a small object needs a lower IoU (`ilsvrc_thresholds`). And a
detection is compared only with ground-truth boxes that are not hit yet and whose threshold it reaches; of these it hits
the one with the highest IoU.
"""

from __future__ import annotations

import numpy as np

from resdet.metrics.flat import Array, FlatDetections, FlatTruth, box_areas, without_pairs
from resdet.metrics.precision_recall import (
    MatchedDetections,
    VocResult,
    evaluate_matches,
    overlapping_pairs,
    sort_detections,
)

ILSVRC_IOU = 0.5
ILSVRC_TOLERANCE = 10.0  # pixels that a side may be too long: about 5 at each end, the error of annotators


def evaluate_ilsvrc_det(
    detections: FlatDetections, truth: FlatTruth, num_classes: int, excluded: Array | None = None
) -> VocResult:
    """Average precision of each class by ILSVRC's rules; the area under the curve, as in VOC since 2010.

    ILSVRC has no difficult objects; if `truth` has some, a detection that hits one does not count.

    Args:
        detections: of all images.
        truth: of the same images, matched by index.
        num_classes: K, labels are 0..K-1.
        excluded: int [E, 2], (image, class) pairs whose objects and detections do not count: ILSVRC's blacklist of
            images in which a class is too ambiguous.

    Raises:
        ValueError: a label outside 0..K-1.
    """
    if excluded is not None:
        detections = without_pairs(detections, excluded, num_classes)
        truth = without_pairs(truth, excluded, num_classes)
    found = sort_detections(detections, truth, num_classes)
    taken = _take_free_truths(found, truth, num_classes, ilsvrc_thresholds(truth.box))
    # Thresholds are checked already, and every ground-truth box is hit at most once: an "IoU" of 1 marks a hit.
    overlap = (taken >= 0).astype(float)
    matches = MatchedDetections(found.label, found.score, box_areas(found.box), overlap, taken, truth.label)
    return evaluate_matches(matches, truth, num_classes, 1.0, "area")


def ilsvrc_thresholds(box: Array) -> Array:
    """The IoU that a hit on each ground-truth box needs: min(0.5, w h / ((w + 10) (h + 10))), 0.25 for 10x10 pixels.

    A box that is longer than the true one by `ILSVRC_TOLERANCE` on both axes still reaches it. The threshold is below
    0.5 for squares of less than about 24 pixels.

    Args:
        box: [G, 4].

    Returns:
        float64 [G].
    """
    sides = box[:, 2:].astype(np.float64) - box[:, :2]
    thresholds: Array = np.minimum(ILSVRC_IOU, sides.prod(1) / (sides + ILSVRC_TOLERANCE).prod(1))
    return thresholds


def _take_free_truths(found: FlatDetections, truth: FlatTruth, num_classes: int, threshold: Array) -> Array:
    """The index [D] of the ground-truth box that each detection hits, in order; -1 for none. `threshold`: IoU [G]."""
    taken = np.full(len(found), -1)
    free = [True] * len(truth)
    for detection, partner, iou in overlapping_pairs(found, truth, num_classes):
        enough = iou >= threshold[partner]
        detection, partner, iou = detection[enough], partner[enough], iou[enough]
        order = np.lexsort((-iou, detection))  # stable: of boxes with the same IoU the first
        # A Python loop, because each step depends on the ones before; few pairs reach their threshold.
        for row, choice in zip(detection[order].tolist(), partner[order].tolist(), strict=True):
            if free[choice] and taken[row] < 0:
                taken[row], free[choice] = choice, False
    return taken
