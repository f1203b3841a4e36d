"""A localizer as an ONNX file: the best box of each class that is asked for, in a crop; it is cut outside.

    export_onnx(model, "localizer.onnx", CropFacts(["n01440764", "n01443537"], size=224, short=256))

    crop     uint8 [S, S, 3]     RGB. S is the metadata "size"; "short" is the image's short side for a crop of 224, in
                                 proportion for others (data/localization/crops.CenterCropWithBoxes)
    labels   int64 [L]           the classes to localize: indices into the metadata "classes", a JSON list
    boxes    float32 [L, 4]      x1, y1, x2, y2 in pixels of the crop; where no box has an area, the whole crop
    scores   float32 [L]         0..1; of a crop regression .5

It is the "1-crop" test of Table 13. The dense test, voting and the R-CNN stage are not exported.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resdet.localization.class_rpn import ClassRPN
from resdet.localization.crop_regression import CropRegression
from resdet.nets.onnx_file import CropFacts, export_module


class ExportedLocalizer(nn.Module):
    """The localizer as one function of a crop and classes, in fp32.

    Args:
        model: it is copied.
    """

    def __init__(self, model: ClassRPN | CropRegression) -> None:
        super().__init__()
        self.model = deepcopy(model).cpu().float().eval()

    def forward(self, crop: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [S, S, 3], int64 [L] -> boxes [L, 4] in pixels of the crop, scores [L]."""
        logits, boxes = self.model.candidates(crop.permute(2, 0, 1)[None], labels[None])
        logits, boxes = logits[0], boxes[0]  # [L, M], [L, M, 4]
        sound = (boxes[..., 2:] > boxes[..., :2]).all(-1) & boxes.isfinite().all(-1) & logits.isfinite()
        best, index = torch.where(sound, logits, -torch.inf).max(1)
        found = boxes.gather(1, index[:, None, None].expand(-1, 1, 4))[:, 0]
        whole = torch.tensor([0.0, 0.0, crop.shape[1], crop.shape[0]])
        return torch.where(best.isfinite()[:, None], found, whole), best.sigmoid()


def export_onnx(model: ClassRPN | CropRegression, path: str | Path, facts: CropFacts) -> None:
    """Write a trained localizer as the ONNX file `path`, with the metadata `facts`.

    Raises:
        UserError: onnx or onnxscript is not installed.
    """
    module = ExportedLocalizer(model).eval()
    sizes: tuple[dict[int, Any], ...] = ({}, {0: torch.export.Dim("L", min=1)})
    example = torch.zeros(facts.size, facts.size, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        module(*example)  # fills the copy's cache of anchors with numbers, which the export keeps
        export_module(module, example, path, ["crop", "labels"], ["boxes", "scores"], facts._asdict(), sizes)
