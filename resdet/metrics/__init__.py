"""Scores of detections: arrays in, numbers out. No metric opens a file; the readers are in `resdet.data`."""

from resdet.metrics.voc_ap import (
    ClassResult,
    FlatDetections,
    FlatTruth,
    VocResult,
    average_precision,
    evaluate_ilsvrc_det,
    evaluate_voc,
    mean_ap_range,
)

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
