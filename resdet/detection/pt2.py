"""A detector as a .pt2 file of torch.export: one program for images of any size, for torch without the nets' code.

    export_pt2(model, "detector.pt2", DetectorFacts(["apple", "banana"], short=600, long=1000))
    detect, facts = load_pt2("detector.pt2")
    boxes, scores, labels = detect(image)       # uint8 [H, W, 3], resized as facts["short"] and facts["long"] say

The program is that of the ONNX file (detection/onnx.py). NMS is two operators of resdet, which importing this module
makes known to torch; pooling is torchvision's.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resdet.detection.faster_rcnn import STRIDE, FasterRCNN
from resdet.detection.onnx import EXAMPLE_SIZE, DetectorFacts, ExportedDetector
from resdet.errors import UserError
from resdet.whole_files import whole_file

FACTS = "facts.json"  # in the archive


def export_pt2(model: FasterRCNN, path: str | Path, facts: DetectorFacts) -> None:
    """Write a trained detector as the .pt2 file `path`, with `facts`; for images of any sides above the stride, 16."""
    size = {axis: torch.export.Dim(name, min=STRIDE + 1) for axis, name in enumerate(("height", "width"))}
    example = torch.zeros(*EXAMPLE_SIZE, 3, dtype=torch.uint8)
    # torch warns of weights in channels_last that their file may not hold all of a tensor.
    detector = ExportedDetector(copy.deepcopy(model)).eval().to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        program = torch.export.export(detector, (example,), dynamic_shapes=(size,))
    with whole_file(path) as temporary, temporary.open("wb") as file:
        torch.export.save(program, file, extra_files={FACTS: json.dumps(facts._asdict())})


def load_pt2(path: str | Path) -> tuple[Callable[[Tensor], tuple[Tensor, Tensor, Tensor]], dict[str, Any]]:
    """Read a file of `export_pt2`. Only from whom you trust: torch's archive can hold code.

    Returns:
        The detector, from uint8 [H, W, 3] RGB to boxes [D, 4] in its pixels, scores [D] and labels [D]; and the facts
        "classes", "short" and "long".

    Raises:
        UserError: there is no such file.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; 'resdet export --to pt2' writes it")
    extra = {FACTS: ""}
    with Path(path).open("rb") as file:
        module = torch.export.load(file, extra_files=extra).module()

    @torch.no_grad()
    def detect(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes, scores, labels = module(image)
        return boxes, scores, labels

    return detect, json.loads(extra[FACTS])
