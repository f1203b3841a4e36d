"""Export a trained localizer as an ONNX file, with a script that runs it without resdet and torch.

export_localizer("runs/loc_r50/last.pth", "localizer.onnx")
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import Config
from resdet.localization.onnx import export_onnx
from resdet.recipes.classification.export import CropExporter, CropNet
from resdet.recipes.localization.build import load_localizer


def _read_localizer(cfg: Config, path: Path) -> CropNet:
    classes = read_checkpoint(path).get("classes", ())
    model = load_localizer(cfg, classes, path)
    return CropNet(model.net, classes, partial(export_onnx, model))


export_localizer = CropExporter("localizer", _read_localizer)
