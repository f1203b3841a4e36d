"""The region proposal network (Faster R-CNN, section 3.1) on the trunk's map.

    rpn = RPN(channels=1024, settings=RPNSettings())
    outputs = rpn(features)                       # logits [N, A] and deltas [N, A, 4] of every anchor
    proposals = rpn.propose(outputs, features)    # boxes [N, R, 4] in image pixels
    losses = rpn.losses(outputs, features, batch)

Shapes: N images; C channels of an h x w map; a anchors per cell, A = h * w * a per image; S sampled anchors per image;
G ground-truth boxes per image, padded; R proposals per image, padded. Deltas are (dx, dy, dw, dh) of boxes/coding.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resdet.boxes.anchors import AnchorGenerator, inside_mask
from resdet.boxes.coding import encode
from resdet.boxes.geometry import gather_boxes
from resdet.boxes.losses import rpn_losses
from resdet.boxes.proposals import Proposals, select_proposals
from resdet.boxes.targets import IGNORED, ignore_crowds, match_boxes, sample
from resdet.draws import random_keys
from resdet.errors import UserError
from resdet.nets.preprocess import inside
from resdet.ranges import Count, Positive, Share
from resdet.structures import Batch, Features

STREAM = 0  # random_keys: which anchors are sampled


@dataclass(frozen=True)
class RPNSettings:
    """Settings of the RPN.

    Defaults follow the paper and py-faster-rcnn, except `min_size` (py-faster-rcnn: 16 pixels of the network's input).

    Args:
        hidden: output channels of the 3x3 convolution; 512 in py-faster-rcnn, 1024 (the trunk's) in detectron2.
        scales: side of the square anchor, in network input pixels; for COCO, 64 is added (Faster R-CNN, journal
            version).
        ratios: aspect ratios of the anchors, height / width.
        positive_iou: an anchor with at least this IoU to an object is positive. So are, for each
            object, the anchors with the highest IoU to it, if that is above 0.
        negative_iou: an anchor whose highest IoU is below this is negative; those in between are ignored.
        anchors_per_image: anchors sampled per image for training. Both losses are divided by anchors_per_image * N.
        positive_fraction: maximum fraction of positives among the sampled anchors.
        keep_border: train on anchors that cross the image border, as in detectron2. False ignores them, as in
            py-faster-rcnn.
        beta: transition point of the smooth L1 loss; 1/9 in py-faster-rcnn, 0 (plain L1) in detectron2.
        nms_iou: IoU threshold of NMS on the proposals.
        train_pre_nms: highest-scoring anchors per image that enter NMS, in training.
        train_post_nms: proposals per image kept after NMS, in training.
        test_pre_nms: highest-scoring anchors per image that enter NMS, at test.
        test_post_nms: proposals per image kept after NMS, at test; 1000 in detectron2.
        min_size: proposals with a side of at most this many image pixels are dropped.
    """

    hidden: Count = 512
    scales: Sequence[Positive] = (128, 256, 512)
    ratios: Sequence[Positive] = (0.5, 1, 2)
    positive_iou: Share = 0.7
    negative_iou: Share = 0.3
    anchors_per_image: Count = 256
    positive_fraction: Share = 0.5
    keep_border: bool = False
    beta: float = 1 / 9
    nms_iou: Share = 0.7
    train_pre_nms: Count = 12_000
    train_post_nms: Count = 2_000
    test_pre_nms: Count = 6_000
    test_post_nms: Count = 300
    min_size: float = 0.0

    def __post_init__(self) -> None:
        if not len(self.scales) or not len(self.ratios):
            raise UserError("an RPN needs anchors: give scales and ratios, at least one of each")


class RPNOutputs(NamedTuple):
    """Predictions for every anchor, ordered by (row, column, anchor of the cell)."""

    logits: Tensor  # float32 [N, A], -inf where the anchor's cell is padding
    deltas: Tensor  # float32 [N, A, 4]
    anchors: Tensor  # float32 [N, A, 4], in image pixels
    present: Tensor  # bool [N, A], False where the anchor's cell is padding


class RPN(nn.Module):
    """A 3x3 convolution, then two 1x1 convolutions: objectness logits and box deltas of each anchor.

    Args:
        channels: C, of the trunk's map.
        settings: None gives the defaults.
        stride: of the trunk's map, in network input pixels.
    """

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
        """Objectness logits and deltas of every anchor, with the anchors in image pixels."""
        logits, deltas = self.maps(features.map)
        N, _, h, w = logits.shape
        present = inside(features.cells, h, w).permute(0, 2, 3, 1).expand(-1, -1, -1, self.anchors.num_anchors)
        present = present.reshape(N, -1)
        logits = logits.permute(0, 2, 3, 1).reshape(N, -1)
        deltas = deltas.permute(0, 2, 3, 1).reshape(N, -1, 4)
        anchors = self._anchors(features) / features.scale[:, None]
        return RPNOutputs(logits.masked_fill(~present, -torch.inf), deltas, anchors, present)

    def _anchors(self, features: Features) -> Tensor:
        """Anchors of a map, [A, 4], in pixels of the network's input."""
        height, width = features.map.shape[-2:]
        return self.anchors(height, width, features.map.device)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Objectness logits [N, a, h, w] and deltas [N, 4a, h, w] from a map [N, C, h, w].

        The 1x1 convolutions always run in fp32. They are cheap, and bf16 logits have so few bits that thousands of
        anchors would tie in the ranking.
        """
        x = self.conv(x).relu_()
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            return self.objectness(x), self.deltas(x)

    def propose(self, outputs: RPNOutputs, features: Features) -> Proposals:
        """The highest-scoring boxes after NMS, in image pixels; how many depends on ``self.training``."""
        s = self.settings
        pre, post = (s.train_pre_nms, s.train_post_nms) if self.training else (s.test_pre_nms, s.test_post_nms)
        return select_proposals(
            outputs.logits, outputs.deltas, outputs.anchors, features.image_sizes, pre, post, s.nms_iou, s.min_size
        )

    def losses(self, outputs: RPNOutputs, features: Features, batch: Batch) -> dict[str, Tensor]:
        """Losses on a random sample of each image's anchors, divided by anchors_per_image * N, as in detectron2.

        Returns:
            "loss_rpn_objectness", binary cross entropy over positives and negatives, and "loss_rpn_box", smooth L1 over
            the positives.
        """
        s = self.settings
        with torch.no_grad():
            labels, index = self._targets(outputs, features, batch)
            keys = random_keys(batch.seeds, labels.shape[1], STREAM)
            chosen = sample(labels, keys, s.anchors_per_image, s.positive_fraction)
            objects = gather_boxes(batch.boxes, index.gather(1, chosen.index))
            targets = encode(objects, gather_boxes(outputs.anchors, chosen.index))
        objectness, box = rpn_losses(
            outputs.logits.gather(1, chosen.index), gather_boxes(outputs.deltas, chosen.index), targets,
            chosen.positive, chosen.valid, s.beta, normalizer=s.anchors_per_image * len(labels),
        )  # fmt: skip
        return {"loss_rpn_objectness": objectness, "loss_rpn_box": box}

    def _targets(self, outputs: RPNOutputs, features: Features, batch: Batch) -> tuple[Tensor, Tensor]:
        """Label of each anchor (POSITIVE, NEGATIVE, IGNORED), int8 [N, A], and its object's index, int64 [N, A].

        Compared in pixels of the network's input, where the anchors are whole numbers or nearly so: all anchors of one
        shape that cover an object then tie as its best ones, "the anchor/anchors with the highest IoU" (Faster R-CNN,
        section 3.1.2), and all are positive. Divided by the image's scale they would differ in the last bit, and one
        would win.
        """
        s = self.settings
        used, anchors = outputs.present, self._anchors(features)
        if not s.keep_border:
            used = used & inside_mask(anchors, batch.sizes)
        boxes = batch.boxes * features.scale[:, None]
        labels, index, _ = match_boxes(
            boxes, anchors, batch.mask & ~batch.crowd, s.positive_iou, s.negative_iou, low_quality=True, usable=used
        )
        if batch.crowded:
            labels = ignore_crowds(labels, outputs.anchors, batch.boxes, batch.mask & batch.crowd)
        return labels.masked_fill(~used, IGNORED), index
