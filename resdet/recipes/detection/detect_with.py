"""Detect with a checkpoint, or an ensemble of several, in their config's test set.

detections, data = detect_with(load_config("configs/voc07_r50.py"), ["runs/voc07_r50/last.pth"], Testing(), run)
evaluation = score(detections, data.test, data.method)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resdet.data.settings import DetectionData
from resdet.detection.inference import Tester, Testing
from resdet.engine.config import Config, build_call, require
from resdet.engine.precision import DTYPES
from resdet.engine.run import Run, same_classes
from resdet.metrics.voc_ap import FlatDetections
from resdet.nets.blocks import fold_for_inference
from resdet.recipes.detection.inference import detect_all
from resdet.recipes.detection.load import read_detectors


def detect_with(
    cfg: Config, checkpoints: Sequence[Path], testing: Testing, run: Run
) -> tuple[FlatDetections, DetectionData]:
    """All detections of the config's test set, on every process, and the config's data without the training set.

    Raises:
        UserError: a checkpoint does not fit the config, or its classes are not the test set's.
    """
    require(cfg, "a detector", "model", "data.test")
    data = build_call(DetectionData, {key: value for key, value in cfg.data.items() if key != "train"})
    tester = load_tester(cfg, checkpoints, testing, data, run)
    return detect_all(tester, data.test, data.resizer, run, data.test_images, data.workers), data


def load_tester(cfg: Config, checkpoints: Sequence[Path], testing: Testing, data: DetectionData, run: Run) -> Tester:
    """Detectors on the run's device, BN folded, weights in its precision.

    Raises:
        UserError: as `detect_with`.
    """
    models, classes = read_detectors(cfg, checkpoints)
    same_classes(classes, data.test.classes, f"{checkpoints[0]} and data.test")
    for model in models:
        fold_for_inference(model, DTYPES[run.precision])
        model.to(run.device)
    return Tester(models, testing, data.resizer.short)
