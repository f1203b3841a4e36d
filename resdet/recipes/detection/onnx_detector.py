"""An exported detector, run by ONNX Runtime in the place of its checkpoint.

path = exported_detector(nets)                      # None: checkpoints
detector = OnnxDetector(path, torch.device("cpu"))
detections = detector.detect(batch)

The file has the net, its thresholds and NMS inside, in the precision that it was exported in. Its metadata hold the
names of the classes and the config of the training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resdet.boxes.geometry import clip_boxes
from resdet.data.transforms import Resizer
from resdet.detection.inference import InferenceSettings
from resdet.engine.config import Config
from resdet.engine.kept_config import kept_config
from resdet.engine.onnx_facts import import_onnxruntime, is_onnx, require_exported_detector
from resdet.engine.precision import Precision
from resdet.errors import UserError
from resdet.recipes.detection.load import require_detector
from resdet.structures import Batch, Detections

OUTPUTS = ("boxes", "scores", "labels")


class OnnxDetector:
    """An exported detector; `detect_all` and `Detector` use it like an `Inference`.

    Args:
        path: of the file.
        device: a GPU, or a CPU, on which it uses torch's number of threads.

    Attributes:
        settings: those of the plain test; nothing else is in such a file.
        path: of the file.

    Raises:
        UserError: the file is damaged or no detector, or ONNX Runtime is not installed, or not for this device.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.settings, self.path = InferenceSettings(), path
        self._session = _open(path, device)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def eval(self) -> OnnxDetector:
        """Nothing to switch. Returns self."""
        return self

    def detect(self, batch: Batch) -> list[Detections]:
        """Detections of each image, one after the other, on the CPU, with boxes in its original pixels."""
        found = zip(batch.images.cpu(), batch.sizes.tolist(), batch.scale.cpu(), batch.image_sizes.cpu(), strict=True)
        return [self._detect(image[:, :height, :width], scale, size) for image, (height, width), scale, size in found]

    def _detect(self, image: Tensor, scale: Tensor, size: Tensor) -> Detections:
        """Of one image uint8 [3, H, W], without padding; (height, width) `size` before it was resized by `scale`."""
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        boxes, scores, labels = map(torch.from_numpy, self._session.run(OUTPUTS, {"image": pixels}))
        return Detections(clip_boxes(boxes / scale, size), scores, labels)


def exported_detector(nets: Sequence[tuple[Config, Path]]) -> Path | None:
    """The exported file that is to be tested; None: checkpoints are.

    Args:
        nets: configs and files (`trained_nets`).

    Raises:
        UserError: an exported file is one of several.
    """
    path = next((path for _, path in nets if is_onnx(path)), None)
    if path is not None and len(nets) > 1:
        remedy = "give the checkpoint that it was exported from"
        raise UserError(f"{path}: an exported file cannot be part of an ensemble; {remedy}")
    return path


def load_exported(
    cfg: Config, path: Path, testing: InferenceSettings, resizer: Resizer, device: torch.device
) -> tuple[OnnxDetector, tuple[str, ...]]:
    """Open an exported detector.

    Args:
        cfg: what it is tested with.
        path: of the file.
        testing: the improvements of Appendix B to use: none.
        resizer: resizes the images.
        device: to compute on.

    Returns:
        The detector, and the names of its classes.

    Raises:
        UserError: improvements are asked for, the file is damaged, no detector of `resdet export`, or does not fit the
            config, or ONNX Runtime is not installed, or not for this device.
    """
    require_detector(cfg)
    _refuse_improvements(path, testing)
    facts = require_exported_detector(path)
    classes, count = _classes(path, facts["classes"]), cfg.model.num_classes
    if len(classes) != count:
        counts = f"{path} has {len(classes)} classes, {cfg.filename} has {count}"
        raise UserError(f"{counts}: give the config that the detector was trained with")
    sides = facts["short"], facts["long"]  # with a kept config, as_trained has taken the resizer from the file
    if kept_config(path, beside=cfg) is None and sides != (resizer.short, resizer.long):
        options = f"--cfg-options data.resizer.short={sides[0]} data.resizer.long={sides[1]}"
        raise UserError(f"{path} was exported for images of another size than {cfg.filename} has; add {options}")
    return OnnxDetector(path, device), classes


def precision_of(files: Sequence[str | Path], asked: Precision | None) -> Precision | None:
    """The precision that torch computes in while these files are tested.

    Args:
        files: one net's, or an ensemble's.
        asked: --precision; None: it was not given.

    Raises:
        UserError: it was given for an exported detector, which has its own.
    """
    path = next(filter(is_onnx, files), None)
    if path is None:
        return asked
    if asked is not None:
        raise UserError(f"--precision {asked}: {path} computes in the precision that it was exported in; leave it out")
    return "fp32"


def _refuse_improvements(path: Path, testing: InferenceSettings) -> None:
    used = [field.name for field in fields(testing) if getattr(testing, field.name) != field.default]
    if used:
        names = ", ".join(f"testing.{name}" for name in used)
        remedy = "leave them out, or give the checkpoint that it was exported from"
        raise UserError(f"{path}: Appendix B's improvements are not in an exported file ({names}); {remedy}")


def _classes(path: Path, names: Any) -> tuple[str, ...]:
    known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not known or len(set(names)) < len(names):
        raise UserError(f"{path}: its metadata 'classes' are no list of different names; export it again")
    return tuple(names)


def _open(path: Path, device: torch.device) -> Any:
    """The session of a file."""
    onnxruntime = import_onnxruntime(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; warnings are of single nodes
    wanted: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        _require_gpu("CUDAExecutionProvider" in onnxruntime.get_available_providers(), path, device)
        wanted.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    try:
        session = onnxruntime.InferenceSession(path, options, wanted)
    except Exception as error:  # of ONNX Runtime's own types, for each kind of damage
        text = " ".join(str(error).split())
        raise UserError(f"{path}: ONNX Runtime cannot run it ({text[:200]}); export it again") from None
    if device.type == "cuda":  # its libraries may be missing: ONNX Runtime then takes the CPU
        _require_gpu("CUDAExecutionProvider" in session.get_providers(), path, device)
    if [one.name for one in session.get_inputs()] != ["image"] or {o.name for o in session.get_outputs()} != {*OUTPUTS}:
        raise UserError(f"{path}: not a detector of 'resdet export', which takes an image and gives {OUTPUTS}")
    return session


def _require_gpu(found: bool, path: Path, device: torch.device) -> None:
    if not found:
        remedy = "give --device cpu, or install onnxruntime-gpu in the place of onnxruntime"
        raise UserError(f"{path}: this ONNX Runtime does not compute on {device}; {remedy}")
