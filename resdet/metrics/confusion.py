"""Confusion matrix of a detector at a score threshold.

matrix = confusion_matrix(detections, truth, num_classes=20, score=0.5)
matrix[3, 5]                # objects of class 3 that were detected as class 5
matrix[3, 20]               # objects of class 3 without a detection
matrix[20, 5]               # detections of class 5 without an object
"""

from __future__ import annotations

import numpy as np

from resdet.metrics.flat import Array, FlatDetections, FlatTruth, pair_greedily, paired_iou


def confusion_matrix(
    detections: FlatDetections, truth: FlatTruth, num_classes: int, score: float = 0.5, iou: float = 0.5
) -> Array:
    """Count the pairs of true and detected class.

    In an image the detections are taken by descending score. Each is paired with the object that it overlaps most among
    those without a partner, whatever its class, if their IoU is at least `iou`. A detection without a partner counts
    in the background's row, unless it overlaps a difficult object by `iou`; difficult objects count nowhere.

    Args:
        detections: of all images.
        truth: of the same images, matched by index.
        num_classes: K; row and column K are the background.
        score: detections with a lower score do not count; in 0..1.
        iou: in (0, 1].

    Returns:
        int64 [K + 1, K + 1], rows: true class, columns: detected class.
    """
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    rows = np.flatnonzero(detections.score >= score)
    rows = rows[np.argsort(-detections.score[rows], kind="stable")]
    for image in np.union1d(detections.image[rows], truth.image):
        found, objects = rows[detections.image[rows] == image], np.flatnonzero(truth.image == image)
        counted, difficult = objects[~truth.difficult[objects]], objects[truth.difficult[objects]]
        partner = pair_greedily(_iou(detections, truth, found, counted), iou)
        paired = partner >= 0
        on_difficult = _iou(detections, truth, found, difficult).max(1, initial=0) >= iou
        true_class = np.full(len(found), num_classes)
        true_class[paired] = truth.label[counted[partner[paired]]]
        shown = paired | ~on_difficult
        np.add.at(matrix, (true_class[shown], detections.label[found][shown]), 1)
        missed = np.delete(counted, partner[paired])
        matrix[:num_classes, num_classes] += np.bincount(truth.label[missed], minlength=num_classes)
    return matrix


def _iou(detections: FlatDetections, truth: FlatTruth, found: Array, objects: Array) -> Array:
    boxes = detections.box[found].astype(np.float64)[:, None], truth.box[objects].astype(np.float64)[None]
    return paired_iou(*np.broadcast_arrays(*boxes))
