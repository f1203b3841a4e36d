"""The region proposal network (Faster R-CNN, section 3.1) on the trunk's map.

rpn = RPN(channels=1024, settings=RPNSettings())
outputs = rpn(features)                       # logits [N, A] and deltas [N, A, 4] of every anchor
proposals = rpn.propose(outputs, features)    # boxes [N, R, 4] in the images' own pixels
losses = rpn.losses(outputs, features, batch)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resdet.boxes.anchors import AnchorGenerator, inside_mask
from resdet.boxes.coding import encode
from resdet.boxes.geometry import pairwise_coverage, pairwise_iou
from resdet.boxes.losses import rpn_losses
from resdet.boxes.proposals import Proposals, select_proposals
from resdet.boxes.targets import IGNORED, ignore_crowds, match, sample
from resdet.draws import random_keys
from resdet.nets.preprocess import inside
from resdet.structures import Batch, Features

STREAM = 0  # of random_keys: the RPN's draws


@dataclass(frozen=True)
class RPNSettings:
    """The paper's and the Caffe line's values; what detectron2 has is said where it differs.

    Args:
        hidden: channels of the 3x3 convolution; 512 in the Caffe line, the trunk's 1024 in detectron2.
        scales: anchors' sides at ratio 1, in network input pixels; COCO has 64 too (the authors' journal version).
        ratios: anchors' height over width.
        positive_iou, negative_iou: positive from the first, or best of an object; negative below the second.
        anchors_per_image: sampled an image; also the fixed denominator of both losses.
        positive_fraction: at most so many of them positive.
        keep_border: train on anchors that cross the image's border (detectron2); the Caffe line ignores them.
        beta: of the smooth L1 loss; detectron2 has 0.
        nms_iou: of the proposals.
        train_pre_nms, train_post_nms, test_pre_nms, test_post_nms: anchors kept by score, proposals kept after NMS, an
            image; detectron2's test_post_nms is 1000.
        min_size: proposals with a side of at most so many pixels are dropped.
    """

    hidden: int = 512
    scales: Sequence[float] = (128, 256, 512)
    ratios: Sequence[float] = (0.5, 1, 2)
    positive_iou: float = 0.7
    negative_iou: float = 0.3
    anchors_per_image: int = 256
    positive_fraction: float = 0.5
    keep_border: bool = False
    beta: float = 1 / 9
    nms_iou: float = 0.7
    train_pre_nms: int = 12_000
    train_post_nms: int = 2_000
    test_pre_nms: int = 6_000
    test_post_nms: int = 300
    min_size: float = 0.0


class RPNOutputs(NamedTuple):
    """One row an anchor, in the order (y, x, anchor)."""

    logits: Tensor  # float32 [N, A], -inf where the anchor's cell is outside the image
    deltas: Tensor  # float32 [N, A, 4]
    anchors: Tensor  # float32 [N, A, 4], in the images' own pixels
    present: Tensor  # bool [N, A], the anchor's cell is in the image


class RPN(nn.Module):
    """A 3x3 convolution, then two 1x1 siblings: objectness and box deltas of each anchor."""

    def __init__(self, channels: int, settings: RPNSettings | None = None, stride: int = 16) -> None:
        super().__init__()
        self.settings = s = settings or RPNSettings()
        self.anchors = AnchorGenerator(s.scales, s.ratios, stride)
        self.conv = nn.Conv2d(channels, s.hidden, 3, padding=1)
        self.objectness = nn.Conv2d(s.hidden, self.anchors.num_anchors, 1)
        self.deltas = nn.Conv2d(s.hidden, 4 * self.anchors.num_anchors, 1)
        for layer in (self.conv, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            layer.bias = nn.Parameter(torch.zeros(layer.out_channels))

    def forward(self, features: Features) -> RPNOutputs:
        """Objectness and deltas of every anchor of every image."""
        logits, deltas = self.maps(features.map)
        N, _, h, w = logits.shape
        present = inside(features.cells, h, w).permute(0, 2, 3, 1).expand(-1, -1, -1, self.anchors.num_anchors)
        present = present.reshape(N, -1)
        logits = logits.permute(0, 2, 3, 1).reshape(N, -1)
        deltas = deltas.permute(0, 2, 3, 1).reshape(N, -1, 4)
        anchors = self.anchors(h, w, logits.device) / features.scale[:, None]
        return RPNOutputs(logits.masked_fill(~present, -torch.inf), deltas, anchors, present)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Objectness logits [N, A, h, w] and deltas [N, 4A, h, w] of a trunk's map [N, C, h, w]; fp32 always.

        The siblings are cheap, and thousands of logits with bf16's eight bits would share their ranks.
        """
        x = self.conv(x).relu_()
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            return self.objectness(x), self.deltas(x)

    def propose(self, outputs: RPNOutputs, features: Features) -> Proposals:
        """The best proposals of each image, in its own pixels; more of them in training than at test."""
        s = self.settings
        pre, post = (s.train_pre_nms, s.train_post_nms) if self.training else (s.test_pre_nms, s.test_post_nms)
        return select_proposals(
            outputs.logits, outputs.deltas, outputs.anchors, features.image_sizes, pre, post, s.nms_iou, s.min_size
        )

    def losses(self, outputs: RPNOutputs, features: Features, batch: Batch) -> dict[str, Tensor]:
        """Both losses on a random sample of each image's anchors, divided by images x anchors_per_image (eq. 1)."""
        s = self.settings
        with torch.no_grad():
            labels, index = self._targets(outputs, features, batch)
            keys = random_keys(batch.seeds, labels.shape[1], STREAM)
            chosen = sample(labels, keys, s.anchors_per_image, s.positive_fraction)
            rows = chosen.index[..., None].expand(-1, -1, 4)
            objects = index.gather(1, chosen.index)[..., None].expand(-1, -1, 4)
            targets = encode(batch.boxes.gather(1, objects), outputs.anchors.gather(1, rows))
        objectness, box = rpn_losses(
            outputs.logits.gather(1, chosen.index), outputs.deltas.gather(1, rows), targets,
            chosen.positive, chosen.valid, s.beta, normalizer=s.anchors_per_image * len(labels),
        )  # fmt: skip
        return {"loss_rpn_objectness": objectness, "loss_rpn_box": box}

    def _targets(self, outputs: RPNOutputs, features: Features, batch: Batch) -> tuple[Tensor, Tensor]:
        """Label [N, A] and object [N, A] of each anchor."""
        s = self.settings
        used = outputs.present
        if not s.keep_border:
            used = used & inside_mask(outputs.anchors, features.image_sizes)
        ious = pairwise_iou(batch.boxes, outputs.anchors).masked_fill(~used[:, None], -1)  # [N, G, A]
        labels, index = match(ious, batch.mask & ~batch.crowd, s.positive_iou, s.negative_iou, low_quality=True)
        if batch.crowded:
            coverage = pairwise_coverage(outputs.anchors, batch.boxes).mT
            labels = ignore_crowds(labels, coverage, batch.mask & batch.crowd)
        return labels.masked_fill(~used, IGNORED), index
