"""Export a trained localizer as an ONNX file, with a script that runs it without resdet and torch.

export_localizer("runs/loc_r50/last.pth", "localizer.onnx")
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resdet.engine.checkpoint import read_checkpoint
from resdet.localization.onnx import export_onnx
from resdet.nets.onnx_file import CropFacts
from resdet.recipes.classification.export import EXAMPLE, crop_of, require_onnx_name
from resdet.recipes.localization.build import load_localizer
from resdet.recipes.trained import trained_net


def export_localizer(
    checkpoint: str | Path,
    out: str | Path,
    config: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write a localizer as an ONNX file, and `run_onnx_crop.py` beside it.

    Args:
        checkpoint: of the localizer, not of its R-CNN stage.
        out: the file; its name ends in .onnx.
        config: of the localizer; None: the one that the checkpoint keeps.
        options: values of the config to change.

    Returns:
        The path of the script that was written.

    Raises:
        UserError: a file cannot be read or is no localizer, a package is missing, or another form than ONNX is asked
            for.
    """
    require_onnx_name(out, "localizer")
    cfg, path = trained_net(checkpoint, config, options)
    classes = read_checkpoint(path).get("classes", ())
    model = load_localizer(cfg, classes, path)
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    export_onnx(model, target, CropFacts(list(classes), *crop_of(cfg, model.net)))
    return Path(shutil.copyfile(EXAMPLE, target.parent / EXAMPLE.name))
