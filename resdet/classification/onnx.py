"""A classifier as an ONNX file: normalization, net and softmax; images are cropped outside.

export_onnx(net, "classifier.onnx", classes=["apple", "banana"], size=224, short=256)

crops           uint8 [N, S, S, 3]       RGB; any N. S is the metadata "size"; "short" is the image's short side for
                                         a crop of 224, in proportion for others (data/transforms.CenterCrop)
probabilities   float32 [N, K]           by the metadata "classes", a JSON list
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from resdet.nets.backbone import Net
from resdet.nets.onnx_file import export_module


class ExportedClassifier(nn.Module):
    """The classifier as one function of crops, in fp32.

    Args:
        net: it is copied.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = deepcopy(net).cpu().float().eval()

    def forward(self, crops: Tensor) -> Tensor:
        """uint8 [N, S, S, 3] -> probabilities float32 [N, K]."""
        logits: Tensor = self.net(self.net.preprocess(crops.permute(0, 3, 1, 2)))
        return logits.softmax(1)


def export_onnx(net: Net, path: str | Path, classes: Sequence[str], size: int, short: int) -> None:
    """Write a classifier as an ONNX file.

    Args:
        net: trained.
        path: of the file.
        classes: names, by label.
        size: side of the crops in pixels.
        short: short side of the image in pixels, for a crop of 224.

    Raises:
        UserError: onnx or onnxscript is not installed.
    """
    export_module(
        ExportedClassifier(net).eval(), (torch.zeros(2, size, size, 3, dtype=torch.uint8),), path,
        ["crops"], ["probabilities"], {"classes": list(classes), "size": size, "short": short},
        ({0: torch.export.Dim("N", min=1)},),
    )  # fmt: skip
