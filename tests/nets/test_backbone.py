"""A net of one's own: what `Backbone` asks for is all that a detector needs."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.detectors import make_sample
from helpers.paths import ROOT
from resdet.data.detection.loading import collate_detection
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Inference
from resdet.detection.roi_head import HeadSettings
from resdet.errors import UserError
from resdet.nets.backbone import Backbone
from resdet.nets.preprocess import Preprocess, inside

STRIDE = 16


class PatchNet(Backbone):
    """One convolution over patches of 16x16 pixels, and one over a pooled region."""

    parts, stride_on, reads_even_cells = ("trunk", "head"), None, False
    head_stages, region_bins = ("conv2",), 5

    def __init__(self) -> None:
        super().__init__()
        self.preprocess, self.fc = Preprocess(), None
        self.trunk_channels, self.channels = 8, 12
        self.conv1, self.conv2 = nn.Conv2d(3, 8, STRIDE, STRIDE), nn.Conv2d(8, 12, 5)

    @property
    def dtype(self) -> torch.dtype:
        return self.conv1.weight.dtype

    def trunk(self, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        map = self.conv1(x)
        return map if sizes is None else map * inside(self.trunk_cells(sizes), *map.shape[2:])

    def trunk_cells(self, sizes: Tensor) -> Tensor:
        return sizes // STRIDE

    def head(self, regions: Tensor, subsampled: bool = False) -> Tensor:
        return self.conv2(regions).flatten(1)

    def dense(self, x: Tensor, window: int = 5) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


def test_a_net_of_one_s_own_trains_and_detects() -> None:
    torch.manual_seed(0)
    detector = FasterRCNN(PatchNet(), 4, head=HeadSettings(bins=5), frozen_stages=1)
    batch = collate_detection([make_sample(96, 128, [[10, 10, 60, 70]]), make_sample(80, 64, seed=1)])
    sum(detector(batch).values()).backward()
    assert {name for name, p in detector.net.named_parameters() if p.grad is not None} == {"conv2.weight", "conv2.bias"}
    detector.eval()
    features = detector.trunk(batch)
    proposals = detector.propose(features)
    vectors = detector.embed(features, proposals.boxes)
    scores, boxes = detector.predict(vectors, proposals.boxes, features.image_sizes)
    assert vectors.shape == (2, 300, 12)
    assert scores.shape == (2, 300, 5)
    assert boxes.shape == (2, 300, 4, 4)


def test_the_head_s_number_of_bins_is_checked() -> None:
    with pytest.raises(UserError, match=r"head\.bins is 14: the net's head reads 5x5 cells, set it to 5"):
        FasterRCNN(PatchNet(), 4, frozen_stages=0)


def test_an_incomplete_net_is_an_error() -> None:
    class Half(Backbone):
        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(TypeError, match="abstract"):
        Half()


def test_the_net_of_the_questions_page_trains_and_detects() -> None:
    page = (ROOT / "docs/faq.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "(Backbone)" in block), names)
    detector: FasterRCNN = names["detector"]
    batch = collate_detection([make_sample(96, 128, [[10, 10, 60, 70]]), make_sample(80, 64, seed=1)])
    sum(detector(batch).values()).backward()
    assert all(p.grad is not None for p in detector.parameters())
    assert len(Inference([detector.eval()]).detect(batch)) == 2
