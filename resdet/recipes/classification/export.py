"""Export a trained classifier as an ONNX file, with a script that runs it without resdet and torch.

export_classifier("runs/mine/last.pth", "classifier.onnx")
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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


class CropNet(NamedTuple):
    """A trained net that reads crops, and how it is written as an ONNX file."""

    net: Net
    classes: Sequence[str]  # names, by label
    write: Callable[[Path, CropFacts], None]


@dataclass(frozen=True)
class CropExporter:
    """Writes a trained net that reads crops as an ONNX file, and `run_onnx_crop.py` beside it.

    Args:
        task: "classifier" or "localizer", for messages.
        read: gives the net of a checkpoint, built by the config that it is tested with.
    """

    task: str
    read: Callable[[Config, Path], CropNet]

    def __call__(
        self,
        checkpoint: str | Path,
        out: str | Path,
        config: str | Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the file and the script.

        Args:
            checkpoint: of the net; a localizer's own, not that of its R-CNN stage.
            out: the file; its name ends in .onnx.
            config: of the net; None: the one that the checkpoint keeps.
            options: values of the config to change.

        Returns:
            The path of the script that was written.

        Raises:
            UserError: a file cannot be read or holds a net of another task, the checkpoint names no classes, a package
                is missing, or another form than ONNX is asked for.
        """
        target = Path(out)
        if target.suffix != ".onnx":
            raise UserError(
                f"{out}: a {self.task} is exported as .onnx only; 'resdet export-weights' writes its weights"
            )
        cfg, path = trained_net(checkpoint, config, options)
        trained = self.read(cfg, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        trained.write(target, CropFacts(list(trained.classes), *_crop_of(cfg, trained.net)))
        return Path(shutil.copyfile(EXAMPLE, target.parent / EXAMPLE.name))


def _read_classifier(cfg: Config, path: Path) -> CropNet:
    require(cfg, "a classifier", "net")
    weights = read_weights(path)
    net: Net = build(cfg.net)
    load_weights(net, weights)
    if net.fc is None or len(weights.classes) != net.fc.out_features:
        raise UserError(f"{path} does not name its classes; export a checkpoint of resdet")
    return CropNet(net, weights.classes, partial(export_onnx, net))


def _crop_of(cfg: Config, net: Net) -> tuple[int, int]:
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


export_classifier = CropExporter("classifier", _read_classifier)
