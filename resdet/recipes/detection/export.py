"""Export a trained detector: to ONNX with a script that runs it without resdet, or to safetensors for use with resdet.

export_detector("runs/mine/last.pth", "detector.onnx")
export_detector("runs/mine/last.pth", "detector.safetensors")
export_detector("runs/mine/last.pth", "int8.onnx", int8=Calibration("photos/"))
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from resdet.data.transforms import Resizer
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import InferenceSettings
from resdet.detection.onnx import DetectorFacts, export_onnx
from resdet.detection.pt2 import export_pt2
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.config_text import config_text
from resdet.errors import UserError
from resdet.recipes.detection.load import read_detectors
from resdet.recipes.detection.quantize import Calibration, ReadImage, calibration_images, quantize, require_onnxruntime
from resdet.recipes.trained import trained_net
from resdet.weights.safetensors_file import resdet_metadata, write_safetensors

EXAMPLE = Path(__file__).with_name("run_onnx.py")


class TrainedDetector(NamedTuple):
    """A detector and what is exported with it."""

    model: FasterRCNN  # on the CPU, fp32
    classes: tuple[str, ...]
    cfg: Config  # resolved


def export_detector(
    checkpoint: str | Path,
    out: str | Path,
    config: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    int8: Calibration | None = None,
) -> Path | None:
    """Write a detector in the form that the file's suffix names: .onnx, .pt2, .safetensors.

    Args:
        checkpoint: of the detector.
        out: the file.
        config: of the detector; None: the one that the checkpoint keeps.
        options: values of the config to change: {"model.head.score_floor": 0.3}.
        int8: write an .onnx file whose convolutions compute in int8, calibrated on these images; None: in fp32.

    Returns:
        The path of the script `run_onnx.py`, which is written beside an ONNX file; None where there is none.

    Raises:
        UserError: a file cannot be read, an .onnx or .pt2 file would need an improvement of Appendix B, a package is
            missing, the suffix is another one, or int8 is not for it, or there are no images to calibrate it on.
    """
    target = Path(out)
    if target.suffix not in WRITERS:
        raise UserError(f"{out}: exported are {', '.join(WRITERS)}; give a name that ends so")
    write = WRITERS[target.suffix] if int8 is None else _int8_writer(target, int8)
    trained = read_trained(checkpoint, config, options)
    target.parent.mkdir(parents=True, exist_ok=True)
    return write(trained, target)


def read_trained(
    checkpoint: str | Path, config: str | Path | None = None, options: Mapping[str, Any] | None = None
) -> TrainedDetector:
    """Read a detector with its classes and the config that it is tested with.

    Args:
        checkpoint, config, options: as `export_detector` takes them.

    Raises:
        UserError: a file cannot be read, or the checkpoint is no detector or does not fit the config.
    """
    cfg, path = trained_net(checkpoint, config, options)
    require(cfg, "a detector", "model", "data.resizer")
    models, classes = read_detectors([(cfg, path)])
    return TrainedDetector(models[0], classes, cfg)


def write_detector_safetensors(trained: TrainedDetector, path: Path) -> None:
    """Write the weights with config, classes and preprocessing; `resdet.load_detector` reads the file alone.

    Args:
        trained: the detector.
        path: of the file.

    Raises:
        UserError: safetensors is not installed.
    """
    metadata = resdet_metadata(config_text(trained.cfg), trained.classes, trained.model.stride_on)
    write_safetensors(path, trained.model.state_dict(), metadata)


def _write_onnx(trained: TrainedDetector, path: Path) -> Path:
    kept = resdet_metadata(config_text(trained.cfg), trained.classes, trained.model.stride_on)
    export_onnx(trained.model, path, _facts(trained), kept)
    return Path(shutil.copyfile(EXAMPLE, path.parent / EXAMPLE.name))


def _int8_writer(target: Path, calibration: Calibration) -> Callable[[TrainedDetector, Path], Path]:
    """What writes an int8 file; images and packages are looked for before weights are read."""
    if target.suffix != ".onnx":
        raise UserError(f"{target}: --int8 is for .onnx files alone")
    require_onnxruntime()
    return partial(_write_int8, calibration_images(calibration))


def _write_int8(images: Sequence[ReadImage], trained: TrainedDetector, path: Path) -> Path:
    resizer: Resizer = build(trained.cfg.data.resizer)
    with tempfile.TemporaryDirectory() as folder:
        example = _write_onnx(trained, Path(folder) / "fp32.onnx")
        quantize(Path(folder) / "fp32.onnx", path, (resizer(image()) for image in images))
        return Path(shutil.copyfile(example, path.parent / example.name))


def _write_pt2(trained: TrainedDetector, path: Path) -> None:
    export_pt2(trained.model, path, _facts(trained))


def _facts(trained: TrainedDetector) -> DetectorFacts:
    """What goes with a detector as one program, which has none of Appendix B's improvements."""
    testing = build_call(InferenceSettings, trained.cfg.get("testing", {}))
    used = [field for field in fields(testing) if getattr(testing, field.name) != field.default]
    if used:
        off = " ".join(f"'testing.{field.name}={field.default}'" for field in used)
        raise UserError(f"Appendix B's improvements cannot be exported; switch them off: --cfg-options {off}")
    resizer: Resizer = build(trained.cfg.data.resizer)
    return DetectorFacts(trained.classes, resizer.short, resizer.long)


WRITERS: dict[str, Callable[[TrainedDetector, Path], Path | None]] = {
    ".onnx": _write_onnx, ".pt2": _write_pt2, ".safetensors": write_detector_safetensors
}  # fmt: skip
