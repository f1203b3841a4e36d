"""COCO's twelve figures (cocodataset.org, "Detection Evaluation"), computed by pycocotools itself.

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

from resdet.metrics.voc_ap import ClassResult, FlatDetections

# In pycocotools' order (COCOeval.stats): AP over IoU .5:.05:.95, at .5, at .75, by area; recall with 1, 10, 100
# detections an image, by area.
FIGURES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)


@dataclass
class Instances:
    """What there is to find, as pycocotools takes it, and how it calls our images and labels."""

    content: dict[str, Any]  # lists `images`, `annotations`, `categories`, as in COCO's files
    image_numbers: np.ndarray  # int64 [N], the content's id of each image of the data set; others are not looked at
    category_ids: np.ndarray  # int64 [K], the content's id of each label


@dataclass
class CocoResult:
    """What pycocotools says; NaN where it says -1: nothing to find."""

    figures: dict[str, float]  # the twelve, by the names of `FIGURES`
    classes: list[ClassResult]  # [K], at IoU .5: the precision at pycocotools' 101 levels of recall
    over_thresholds: np.ndarray  # float64 [K], AP over ten thresholds


def evaluate_coco(instances: Instances, detections: FlatDetections) -> CocoResult:
    """Score detections, whose images and labels are indices of `instances`; at most 100 an image count."""
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth = _coco(instances.content)
        evaluation = COCOeval(truth, _results(truth, instances, detections), "bbox")
        evaluation.params.imgIds = sorted(instances.image_numbers.tolist())
        evaluation.params.catIds = instances.category_ids.tolist()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = np.searchsorted(np.sort(instances.category_ids), instances.category_ids)  # pycocotools sorts them by id
    precision = _undefined(
        evaluation.eval["precision"][:, :, ours, 0, 2]
    )  # [thresholds, recalls, K]: all, 100 an image
    scores = evaluation.eval["scores"][0][:, ours, 0, 2]
    counts = _counts(truth, instances)
    levels = evaluation.params.recThrs
    classes = [
        ClassResult(float(precision[0, :, k].mean()), levels, precision[0, :, k], scores[:, k], counts[k])
        for k in range(len(counts))
    ]
    figures = dict(zip(FIGURES, _undefined(evaluation.stats).tolist(), strict=True))
    return CocoResult(figures, classes, precision.mean((0, 1)))


def _results(truth: COCO, instances: Instances, detections: FlatDetections) -> COCO:
    """What COCO.loadRes makes of boxes, without the outline that it gives each of them: half of the memory."""
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
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


def _counts(truth: COCO, instances: Instances) -> list[int]:
    """Objects of each label in the images that are looked at, crowds left out."""
    numbers, images = instances.category_ids.tolist(), instances.image_numbers.tolist()
    found = truth.loadAnns(truth.getAnnIds(imgIds=images, catIds=numbers, iscrowd=False))
    index = {number: k for k, number in enumerate(numbers)}
    labels = np.array([index[item["category_id"]] for item in found], np.int64)
    return np.bincount(labels, minlength=len(numbers)).tolist()


def _undefined(values: np.ndarray) -> np.ndarray:
    """-1 is pycocotools' word for it."""
    return np.where(np.asarray(values) < 0, np.nan, values)
