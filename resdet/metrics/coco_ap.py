"""COCO's twelve metrics (cocodataset.org, "Detection Evaluation"), computed by pycocotools.

result = evaluate_coco(instances_of(dataset), detections)
result.figures["AP"], result.figures["AP50"]        # in 0..1; the paper's mAP@[.5,.95] and mAP@.5
result.over_thresholds[3], result.classes[3].ap     # AP of label 3 over ten thresholds, and at .5
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

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
    """Ground truth in COCO's format, and the ids that it uses for our images and labels."""

    content: dict[str, Any]  # with the lists `images`, `annotations` and `categories`, as in COCO's files
    image_numbers: Array  # int64 [N], the id in `content` of each image of the data set; other images are ignored
    category_ids: Array  # int64 [K], the id in `content` of each label


@dataclass
class CocoResult:
    """pycocotools' metrics, in 0..1; NaN without ground truth, where pycocotools has -1."""

    figures: dict[str, float]  # the twelve metrics under the names of `FIGURES`
    classes: list[ClassResult]  # [K], at IoU .5: the precision at pycocotools' 101 recalls
    over_thresholds: Array  # float64 [K], AP over the IoUs .5:.05:.95


def evaluate_coco(instances: Instances, detections: FlatDetections) -> CocoResult:
    """COCO's metrics of detections; the 100 best per image count.

    Args:
        instances: ground truth.
        detections: images are 0..N-1 and labels 0..K-1, in the order of `instances.image_numbers` and `category_ids`.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth = _coco(instances.content)
        evaluation = COCOeval(truth, _results(truth, instances, detections), "bbox")
        evaluation.params.imgIds = sorted(instances.image_numbers.tolist())
        evaluation.params.catIds = instances.category_ids.tolist()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = np.searchsorted(np.sort(instances.category_ids), instances.category_ids)  # pycocotools sorts them by id
    # [thresholds, recalls, K], of objects of all sizes (0) and 100 detections per image (2).
    precision = _undefined_as_nan(evaluation.eval["precision"][:, :, ours, 0, 2])
    scores = evaluation.eval["scores"][0][:, ours, 0, 2]
    counts = _counts(truth, instances)
    levels = evaluation.params.recThrs
    classes = [
        ClassResult(float(precision[0, :, k].mean()), levels, precision[0, :, k], scores[:, k], counts[k])
        for k in range(len(counts))
    ]
    figures = dict(zip(FIGURES, _undefined_as_nan(evaluation.stats).tolist(), strict=True))
    return CocoResult(figures, classes, precision.mean((0, 1)))


def _results(truth: COCO, instances: Instances, detections: FlatDetections) -> COCO:
    """Detections as a COCO object, like `COCO.loadRes` but without its outline of each box: half of the memory."""
    boxes = detections.box.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    images, categories = instances.image_numbers[detections.image], instances.category_ids[detections.label]
    scores = detections.score.astype(np.float64)
    rows = zip(images.tolist(), categories.tolist(), boxes.tolist(), scores.tolist(), strict=True)
    annotations = [
        {
            "id": i,
            "image_id": image,
            "category_id": c,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            "score": score,
        }
        for i, (image, c, box, score) in enumerate(rows, 1)
    ]
    return _coco({**truth.dataset, "annotations": annotations})


def _coco(content: dict[str, Any]) -> COCO:
    """A COCO object of a content that is not in a file."""
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


def _counts(truth: COCO, instances: Instances) -> list[int]:
    """Number of objects of each label in the images of the data set, without crowds."""
    numbers, images = instances.category_ids.tolist(), instances.image_numbers.tolist()
    found = truth.loadAnns(truth.getAnnIds(imgIds=images, catIds=numbers, iscrowd=False))
    index = {number: k for k, number in enumerate(numbers)}
    labels = np.array([index[item["category_id"]] for item in found], np.int64)
    counts: list[int] = np.bincount(labels, minlength=len(numbers)).tolist()
    return counts


def _undefined_as_nan(values: Array) -> Array:
    """pycocotools' -1 (undefined) as NaN."""
    return np.where(np.asarray(values) < 0, np.nan, values)
