"""Export a trained classifier as an ONNX file, with a script that runs it without resdet and torch.

export_classifier("runs/mine/last.pth", "classifier.onnx")
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resdet.classification.onnx import export_onnx
from resdet.data.transforms import WHOLE
from resdet.engine.config import Config, build, require
from resdet.errors import UserError
from resdet.nets.backbone import Net
from resdet.nets.onnx_file import CropFacts
from resdet.recipes.trained import trained_net
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights

EXAMPLE = Path(__file__).with_name("run_onnx_crop.py")


def export_classifier(
    checkpoint: str | Path,
    out: str | Path,
    config: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write a classifier as an ONNX file, and `run_onnx_crop.py` beside it.

    Args:
        checkpoint: of the classifier.
        out: the file; its name ends in .onnx.
        config: of the classifier; None: the one that the checkpoint keeps.
        options: values of the config to change.

    Returns:
        The path of the script that was written.

    Raises:
        UserError: a file cannot be read, the checkpoint names no classes, a package is missing, or another form than
            ONNX is asked for.
    """
    require_onnx_name(out, "classifier")
    cfg, path = trained_net(checkpoint, config, options)
    require(cfg, "a classifier", "net")
    weights = read_weights(path)
    net: Net = build(cfg.net)
    load_weights(net, weights)
    if net.fc is None or len(weights.classes) != net.fc.out_features:
        raise UserError(f"{checkpoint} does not name its classes; export a checkpoint of resdet")
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    export_onnx(net, target, CropFacts(list(weights.classes), *crop_of(cfg, net)))
    return Path(shutil.copyfile(EXAMPLE, target.parent / EXAMPLE.name))


def require_onnx_name(out: str | Path, task: str) -> None:
    """Check that the name of the file asks for ONNX.

    Raises:
        UserError: it ends otherwise.
    """
    if Path(out).suffix != ".onnx":
        raise UserError(f"{out}: a {task} is exported as .onnx only; 'resdet export-weights' writes its weights")


def crop_of(cfg: Config, net: Net) -> tuple[int, int]:
    """The side of the test's centre crop in pixels, and the short side of the image for a crop of 224.

    Raises:
        UserError: the test view is no centre crop.
    """
    if net.preprocess.mean.dim() == 3:  # CIFAR's mean image: whole images of its size
        return int(net.preprocess.mean.shape[-1]), WHOLE
    view: Any = build(cfg.data.test_view) if cfg.data.get("test_view") else None
    if not hasattr(view, "size") or not hasattr(view, "short"):
        raise UserError(f"{cfg.filename}: data.test_view is no centre crop, with which an exported file is used")
    return int(view.size), int(view.short)
