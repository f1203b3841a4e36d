"""A classifier as an ONNX file: normalization, net and softmax; images are cropped outside.

export_onnx(net, "classifier.onnx", CropFacts(["apple", "banana"], size=224, short=256))

crops           uint8 [N, S, S, 3]       RGB; any N. S is the metadata "size"; "short" is the image's short side for
                                         a crop of 224, in proportion for others (data/transforms.CenterCrop)
probabilities   float32 [N, K]           by the metadata "classes", a JSON list
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from resdet.nets.backbone import Net
from resdet.nets.onnx_file import CropFacts, export_module


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


def export_onnx(net: Net, path: str | Path, facts: CropFacts) -> None:
    """Write a trained classifier as the ONNX file `path`, with the metadata `facts`.

    Raises:
        UserError: onnx or onnxscript is not installed.
    """
    example = torch.zeros(2, facts.size, facts.size, 3, dtype=torch.uint8)
    sizes = ({0: torch.export.Dim("N", min=1)},)
    export_module(
        ExportedClassifier(net).eval(), (example,), path, ["crops"], ["probabilities"], facts._asdict(), sizes
    )
