"""Metrics: arrays in, numbers out. No metric reads a file; the readers are in `resdet.data`.

- `voc_ap`, `ilsvrc_ap`, `coco_ap`: average precision by the rules of VOC, ImageNet's detection task and COCO
- `flat`: detections and ground truth as arrays; `precision_recall`: what the first two share
- `thresholds`: a score threshold for each class
- `error_kinds`, `confusion`: the errors of a detector by kind, with their cost in mAP, and its confusion matrix
- `bootstrap`, `pairs`: how certain the difference of two systems is
- `localization_error`: ILSVRC's classification and localization task; `topk`: classification
"""

from resdet.metrics.flat import FlatDetections, FlatTruth
from resdet.metrics.ilsvrc_ap import evaluate_ilsvrc_det
from resdet.metrics.precision_recall import ClassResult, VocResult, average_precision
from resdet.metrics.voc_ap import evaluate_voc, mean_ap_range

__all__ = [
    "ClassResult",
    "FlatDetections",
    "FlatTruth",
    "VocResult",
    "average_precision",
    "evaluate_ilsvrc_det",
    "evaluate_voc",
    "mean_ap_range",
]
