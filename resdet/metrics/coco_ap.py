"""COCO's twelve figures (cocodataset.org, "Detection Evaluation"), computed by pycocotools itself.

result = evaluate_coco(dataset.files, dataset.image_numbers, dataset.category_ids, detections)
result.figures["AP"], result.figures["AP50"]        # in 0..1; the paper's mAP@[.5,.95] and mAP@.5
result.per_class[3], result.per_class50[3]          # AP of label 3 over ten thresholds, and at .5
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from resdet.metrics.voc_ap import FlatDetections

# In pycocotools' order (COCOeval.stats): AP over IoU .5:.05:.95, at .5, at .75, by area; recall with 1, 10, 100
# detections an image, by area.
FIGURES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)


@dataclass
class CocoResult:
    """What pycocotools says; NaN where it says -1: nothing to find."""

    figures: dict[str, float]  # the twelve, by the names of `FIGURES`
    per_class: np.ndarray  # float64 [K], AP over ten thresholds
    per_class50: np.ndarray  # float64 [K], AP at .5


def evaluate_coco(
    files: Sequence[Path], image_numbers: np.ndarray, category_ids: np.ndarray, detections: FlatDetections
) -> CocoResult:
    """Score detections against the instances of one or several files.

    Args:
        files: the JSON files; areas, crowds and boxes are taken from them as they are.
        image_numbers: int64 [N], the files' id of each image of the data set; others are not looked at.
        category_ids: int64 [K], the files' id of each label.
        detections: images and labels are indices of the two above; at most 100 an image count.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth = _truth(files)
        evaluation = COCOeval(truth, _results(truth, image_numbers, category_ids, detections), "bbox")
        evaluation.params.imgIds = sorted(image_numbers.tolist())
        evaluation.params.catIds = category_ids.tolist()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # [thresholds, recalls, K]: all areas, 100 detections
    figures = dict(zip(FIGURES, _undefined(evaluation.stats).tolist(), strict=True))
    return CocoResult(figures, _mean_precision(precision), _mean_precision(precision[:1]))


def _truth(files: Sequence[Path]) -> COCO:
    contents = [json.loads(Path(file).read_bytes()) for file in files]
    merged = {key: [item for c in contents for item in c[key]] for key in ("images", "annotations")}
    for number, item in enumerate(merged["annotations"], 1):
        item["id"] = number  # two files may count from the same number
    return _coco(merged | {"categories": contents[0]["categories"]})


def _results(truth: COCO, image_numbers: np.ndarray, category_ids: np.ndarray, detections: FlatDetections) -> COCO:
    if not len(detections):  # loadRes fails on none
        return _coco({**truth.dataset, "annotations": []})
    boxes = detections.box.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    columns = [image_numbers[detections.image], *boxes.T, detections.score, category_ids[detections.label]]
    return truth.loadRes(np.stack(columns, 1).astype(np.float64))


def _coco(dataset: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _mean_precision(precision: np.ndarray) -> np.ndarray:
    """[thresholds, recalls, K] -> [K]; NaN for a class without objects."""
    return np.array([_undefined(rows).mean() for rows in np.moveaxis(precision, -1, 0)])


def _undefined(values: np.ndarray) -> np.ndarray:
    """-1 is pycocotools' word for it."""
    return np.where(np.asarray(values) < 0, np.nan, values)
