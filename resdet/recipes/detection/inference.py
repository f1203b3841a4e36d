"""Detect in a whole data set, on all processes: with trained models, or with the checkpoints of a config.

detections = detect_all(Inference([model]), data.test, data.resizer, run)
nets = trained_nets(load_config("voc07_r50"), ["runs/voc07_r50/last.pth"])
detections, data = detect_with(nets, InferenceSettings(), run)
evaluation = score(detections, data.test, data.method)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.loading import detection_eval_loader
from resdet.data.detection.settings import DetectionData
from resdet.data.detection.usable import require_scorable
from resdet.data.transforms import Resizer
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Inference, InferenceSettings
from resdet.engine.config import Config, build_call, require
from resdet.engine.distributed import gather_objects, get_rank, get_world_size, is_main_process
from resdet.engine.precision import DTYPES, Precision, precision_context
from resdet.engine.run import Run, same_classes
from resdet.metrics.flat import FlatDetections
from resdet.nets.blocks import fold_for_inference
from resdet.recipes.detection.changed_split import warn_of_changed_split
from resdet.recipes.detection.load import read_detectors
from resdet.recipes.detection.onnx_detector import exported_detector, load_exported
from resdet.structures import Detections

logger = logging.getLogger("resdet")


class Detects(Protocol):
    """What `detect_all` and `Detector` need: an `Inference`, an `OnnxDetector`, or one of another implementation."""

    settings: InferenceSettings

    def eval(self) -> Any:
        """Switch to evaluation mode."""

    def detect(self, batch: Any) -> list[Detections]:
        """The detections of each image of a Batch, or of a Pyramid if `settings` has scales."""
        ...


def detect_with(
    nets: Sequence[tuple[Config, Path]], testing: InferenceSettings, run: Run, scorable: bool = False
) -> tuple[FlatDetections, DetectionData]:
    """Detect with a checkpoint, or an ensemble of several, in the first config's test set.

    Args:
        nets: configs and checkpoints (`trained_nets`) of the same classes; the section `data` is the first config's.
        testing: the improvements of Appendix B to use.
        run: device and precision.
        scorable: refuse a test set without an object that counts in AP, before anything is detected.

    Returns:
        All detections, on every process; the config's section `data`, without the training set.

    Raises:
        UserError: a checkpoint does not fit the config, its classes are not those of the test set, or the test set has
            no objects and `scorable` asks for some.
    """
    cfg = nets[0][0]
    require(cfg, "a detector", "model", "data.test")
    data = build_call(DetectionData, {key: value for key, value in cfg.data.items() if key != "train"})
    if scorable:
        require_scorable(data.test.table, "data.test")
    inference = load_inference(nets, testing, data, run)
    if is_main_process():
        warn_of_changed_split(cfg, [path for _, path in nets])
    return detect_all(inference, data.test, data.resizer, run, data.test_images, data.workers), data


def load_inference(
    nets: Sequence[tuple[Config, Path]], testing: InferenceSettings, data: DetectionData, run: Run
) -> Detects:
    """Load checkpoints, or an exported detector, to detect on the run's device in its precision.

    Args:
        nets: configs and checkpoints (`trained_nets`) of the same classes.
        testing: the improvements of Appendix B to use.
        data: the test set, whose classes must be those of the checkpoints, and the resizer.
        run: device and precision.

    Raises:
        UserError: a checkpoint does not fit the config, or its classes are not those of the test set.
    """
    inference, classes = make_inference(nets, testing, data.resizer, run.device, run.precision)
    same_classes(classes, data.test.classes, f"{nets[0][1]} and data.test")
    return inference


def make_inference(
    nets: Sequence[tuple[Config, Path]],
    testing: InferenceSettings,
    resizer: Resizer,
    device: torch.device,
    precision: Precision,
) -> tuple[Detects, tuple[str, ...]]:
    """Load checkpoints, or an exported detector.

    Args:
        nets: configs and files (`trained_nets`): of one or more checkpoints of the same classes, or of one .onnx file.
        testing: the improvements of Appendix B to use; an .onnx file has none.
        resizer: resizes images as in the training.
        device: to compute on.
        precision: of checkpoints; an .onnx file has its own.

    Returns:
        What detects, and the names of its classes.

    Raises:
        UserError: there is no file, one does not fit its config, or the .onnx file cannot do what is asked for.
    """
    if (exported := exported_detector(nets)) is not None:
        return load_exported(nets[0][0], exported, testing, resizer, device)
    models, classes = read_detectors(nets)
    prepare(models, device, precision)
    return Inference(models, testing, resizer.short), classes


def prepare(models: Iterable[FasterRCNN], device: torch.device, precision: Precision) -> None:
    """Fold BN into the convolutions, cast the weights to `precision` and move the models to `device`, in place."""
    for model in models:
        fold_for_inference(model, DTYPES[precision])
        model.to(device)


def detect_all(
    inference: Detects, dataset: DetectionDataset, resizer: Resizer, run: Run, images: int = 1, workers: int = 2
) -> FlatDetections:
    """Detect in every image of a data set; the processes share the images.

    Args:
        inference: the detector, on the run's device; it is switched to evaluation mode.
        dataset: the images; their annotations are not used.
        resizer: resizes images as in the training.
        run: device and precision.
        images: images per batch.
        workers: loader processes, for each process of the run.

    Returns:
        The detections of all images in original pixels, on every process.
    """
    inference.eval()
    pin, sizes = run.device.type == "cuda", sizes_of(inference.settings, resizer)
    loader = detection_eval_loader(dataset, sizes, images, workers, pin, get_rank(), get_world_size())
    index = {str(image_id): i for i, image_id in enumerate(dataset.table.ids)}
    found: list[tuple[int, Detections]] = []
    started = time.perf_counter()
    for batch in loader:
        with precision_context(run.precision, run.device):
            detections = inference.detect(batch.to(run.device))
        found += [(index[i], d.cpu()) for i, d in zip(batch.image_ids, detections, strict=True)]
    seconds = time.perf_counter() - started
    logger.info("detected in %d images, %.2f s per image", len(found), seconds / max(1, len(found)))
    return flatten(gather_objects(found))


def sizes_of(testing: InferenceSettings, resizer: Resizer) -> Resizer | list[Resizer]:
    """Return `resizer` for a test at one scale, or a list with one resizer per scale of the pyramid, ascending."""
    return [resizer.at(short) for short in testing.scales] if testing.scales else resizer


def flatten(found: list[tuple[int, Detections]]) -> FlatDetections:
    """Concatenate pairs of image index and Detections, by image index."""
    found = sorted(found, key=lambda pair: pair[0])
    image = np.repeat([i for i, _ in found], [len(d) for _, d in found]) if found else np.zeros(0)
    empty = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    parts = [empty, *(d for _, d in found)]
    return FlatDetections(
        image,
        torch.cat([d.labels for d in parts]).numpy(),
        torch.cat([d.scores for d in parts]).numpy(),
        torch.cat([d.boxes for d in parts]).numpy(),
    )
