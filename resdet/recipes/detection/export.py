"""Export a trained detector for use without resdet, with a script that runs it.

export_detector("runs/mine/last.pth", "detector.onnx")
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resdet.data.transforms import Resizer
from resdet.detection.inference import InferenceSettings
from resdet.detection.onnx import export_onnx
from resdet.engine.config import build, build_call, require
from resdet.errors import UserError
from resdet.recipes.detection.load import read_detectors
from resdet.recipes.sections import load_config
from resdet.recipes.trained import trained_nets

EXAMPLE = Path(__file__).with_name("run_onnx.py")


def export_detector(
    checkpoint: str | Path,
    out: str | Path,
    config: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write a detector as an ONNX file, and `run_onnx.py` beside it.

    Args:
        checkpoint: of the detector.
        out: the ONNX file.
        config: of the detector; None: the one that the checkpoint keeps.
        options: values of the config to change: {"model.head.score_floor": 0.3}.

    Returns:
        The path of the script that was written.

    Raises:
        UserError: a file cannot be read, an improvement of Appendix B is asked for, or a package is missing.
    """
    cfg = load_config(config or checkpoint, options)
    nets = trained_nets(cfg, [checkpoint], options)
    cfg = nets[0][0]
    require(cfg, "a detector", "model", "data.resizer")
    if build_call(InferenceSettings, cfg.get("testing", {})) != InferenceSettings():
        raise UserError("testing: Appendix B's improvements cannot be exported; remove the section")
    models, classes = read_detectors(nets)
    resizer: Resizer = build(cfg.data.resizer)
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    export_onnx(models[0], target, classes, {"short": resizer.short, "long": resizer.long})
    return Path(shutil.copyfile(EXAMPLE, target.parent / EXAMPLE.name))
