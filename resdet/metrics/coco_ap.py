"""COCO's twelve metrics (cocodataset.org, "Detection Evaluation"), computed by hotcoco, bit by bit as pycocotools does.

result = evaluate_coco(instances_of(dataset), detections)
result.figures["AP"], result.figures["AP50"]        # in 0..1; the paper's mAP@[.5,.95] and mAP@.5
result.over_thresholds[3], result.classes[3].ap     # AP of label 3 over ten thresholds, and at .5
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from hotcoco import COCO, COCOeval

from resdet.metrics.flat import Array, FlatDetections
from resdet.metrics.precision_recall import ClassResult

# In pycocotools' order (COCOeval.stats): AP over IoU .5:.05:.95, at .5, at .75, by area; recall with 1, 10 and 100
# detections per image, by area.
FIGURES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)


@dataclass
class Instances:
    """Ground truth of N images and K classes: G objects."""

    order: Array  # int64 [N], rank of each image: of equal scores that of the first image in this order counts first
    num_classes: int
    image: Array  # int64 [G], 0..N-1
    label: Array  # int64 [G], 0..K-1
    box: Array  # float64 [G, 4], x, y, width, height
    area: Array  # float64 [G], which decides whether an object is small, medium or large
    crowd: Array  # bool [G], neither hit nor missed


@dataclass
class CocoDetections(FlatDetections):
    """Detections of a results file, with its widths and heights.

    The file's widths are kept: x2 - x1 differs from them by rounding, which matters where an IoU equals a threshold.
    """

    size: Array  # float64 [D, 2], width and height


@dataclass
class CocoResult:
    """COCO's metrics, in 0..1; NaN without ground truth, where pycocotools has -1."""

    figures: dict[str, float]  # the twelve metrics under the names of `FIGURES`
    classes: list[ClassResult]  # [K], at IoU .5: the precision at COCO's 101 recalls
    over_thresholds: Array  # float64 [K], AP over the IoUs .5:.05:.95


def evaluate_coco(instances: Instances, detections: FlatDetections) -> CocoResult:
    """Compute COCO's metrics; the 100 best detections per image count.

    Args:
        instances: ground truth.
        detections: images are 0..N-1 and labels 0..K-1.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # the figures are printed
        truth = _truth(instances)
        evaluation = COCOeval(truth, truth.load_res(_rows(instances, detections)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    curves = evaluation.eval or {}
    # [thresholds, recalls, K], of objects of all sizes (0) and 100 detections per image (2).
    precision = _undefined_as_nan(curves["precision"][:, :, :, 0, 2])
    scores = curves["scores"][0][:, :, 0, 2]
    counts = np.bincount(instances.label[~instances.crowd], minlength=instances.num_classes).tolist()
    levels = np.asarray(evaluation.params.rec_thrs)
    classes = [
        ClassResult(float(precision[0, :, k].mean()), levels, precision[0, :, k], scores[:, k], counts[k])
        for k in range(len(counts))
    ]
    figures = dict(zip(FIGURES, _undefined_as_nan(np.asarray(evaluation.stats)).tolist(), strict=True))
    return CocoResult(figures, classes, precision.mean((0, 1)))


def _truth(instances: Instances) -> COCO:
    """The ground truth as a COCO object, with images numbered from 1 by their order and categories from 1."""
    return COCO.from_arrays(
        [{"id": i} for i in range(1, len(instances.order) + 1)],
        [{"id": k, "name": str(k)} for k in range(1, instances.num_classes + 1)],
        instances.order[instances.image] + 1,
        instances.label + 1,
        instances.box,
        area=instances.area,
        iscrowd=instances.crowd,
    )


def _rows(instances: Instances, detections: FlatDetections) -> Array:
    """Detections as pycocotools takes them, float64 [D, 7]: image, x, y, width, height, score, category."""
    box = detections.box.astype(np.float64)
    size = detections.size if isinstance(detections, CocoDetections) else box[:, 2:] - box[:, :2]
    image, score = instances.order[detections.image] + 1, detections.score.astype(np.float64)
    return np.concatenate([image[:, None], box[:, :2], size, score[:, None], detections.label[:, None] + 1], 1)


def _undefined_as_nan(values: Array) -> Array:
    """pycocotools' -1 (undefined) as NaN."""
    return np.where(np.asarray(values) < 0, np.nan, values)
