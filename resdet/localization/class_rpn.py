"""The per-class region proposal network (App. C), on a net pre-trained for classification.

    model = ClassRPN(ResNet(101, num_classes=None), num_classes=1000)
    losses = model(batch)                                    # LocalizationBatch -> a dict of two losses
    logits, boxes = model.candidates(images, labels)         # uint8 [N, 3, H, W], int64 [N, L] -> boxes of all anchors

Each class has its own objectness classifier and box regressor for every anchor. An image trains only those of its
class, on eight anchors. Their cells and weights are gathered BEFORE the per-class layers, so that the maps of A x K and
4A x K channels (9,000 and 36,000 for ImageNet) are never computed.

Shapes: N crops; C channels of an h x w map; A anchors per cell, M = h * w * A per crop; S sampled anchors per crop;
G ground-truth boxes per crop, padded; K classes, L of them asked for per crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.boxes.anchors import AnchorGenerator
from resdet.boxes.coding import MAX_LOG_RATIO, decode, encode
from resdet.boxes.geometry import area, clip_boxes, gather_boxes
from resdet.boxes.losses import rpn_losses
from resdet.boxes.targets import IGNORED, SampledBoxes, match_boxes, repeat_positives, sample
from resdet.draws import random_keys
from resdet.errors import UserError
from resdet.localization.model import PerClassModel
from resdet.localization.per_class import PerClassLinear
from resdet.nets.blocks import ConvBN
from resdet.nets.holes import make_holes
from resdet.nets.resnet import ResNet
from resdet.ranges import Count, Positive, Share
from resdet.structures import LocalizationBatch

STREAM = 3  # random_keys: which anchors are sampled
STRIDES = {"conv4": 16, "conv5": 32}


@dataclass(frozen=True)
class ClassRPNSettings:
    """Settings of the per-class RPN; the defaults are the paper's, or a choice where it does not specify one.

    Anchors that cross the crop's border are trained on: otherwise few large ones would remain.

    Args:
        stage: the feature map that the RPN reads: "conv5" at stride 32 (choice: uses all pre-trained layers), or
            "conv4" at stride 16.
        holes: replace the stride of `stage` by dilation (nets/holes.py), which halves the stride of its map: 16 for
            conv5, 8 for conv4. For objects that are small in the crop (choice: False).
        hidden: output channels of a 3x3 convolution with BN before the per-class layers; None for no convolution
            (choice: the paper mentions only the per-class layers). Without BN the per-class layers, each trained on the
            images of one class, learn far more slowly.
        scales: sides of the square anchors in crop pixels (choice). The defaults are for 224-pixel crops and do not
            adapt to the crop size: for 112 pixels give smaller ones, such as 32, 64, 128.
        ratios: aspect ratios of the anchors, height / width (choice).
        positive_iou: an anchor with at least this IoU to an object is positive. So are the anchors with the highest IoU
            to each object, however low it is.
        negative_iou: an anchor whose highest IoU is below this is negative; those in between are ignored.
        anchors_per_image: anchors sampled per crop for training. Both losses are divided by anchors_per_image * N.
        positive_fraction: maximum fraction of positives among the sampled anchors; the paper has 1:1.
        repeat_positives: where a crop has fewer positives than that, repeat them up to the fraction, so that small
            objects have the weight of large ones (choice: False, more negatives are sampled, as in Faster R-CNN).
        beta: transition point of the smooth L1 loss.
        clamp: upper bound of the log ratio of a predicted box's side to its anchor's.
        frozen_bn: replace BN by constants, in place (choice: False trains it; batches are as large as in
            classification).
        frozen_stages: conv1 to conv{frozen_stages} are not trained (choice: 0; 2, as in the detectors, saves a third of
            a training step on ResNet-18).

    Raises:
        UserError: a value is out of its range.
    """

    stage: Literal["conv4", "conv5"] = "conv5"
    holes: bool = False
    hidden: Count | None = None
    scales: Sequence[Positive] = (64, 128, 256)
    ratios: Sequence[Positive] = (0.5, 1, 2)
    positive_iou: Share = 0.7
    negative_iou: Share = 0.3
    anchors_per_image: Count = 8
    positive_fraction: Share = 0.5
    repeat_positives: bool = False
    beta: float = 1 / 9
    clamp: float = MAX_LOG_RATIO
    frozen_bn: bool = False
    frozen_stages: int = 0

    def __post_init__(self) -> None:
        where = "model.settings"
        if self.stage not in STRIDES:
            raise UserError(f"{where}.stage is {self.stage!r}: give conv5 or conv4")
        for name in ("scales", "ratios"):
            values = list(getattr(self, name))
            if not values or min(values) <= 0:
                raise UserError(f"{where}.{name} is {values}: give one or more numbers above 0")
        if self.hidden is not None and self.hidden < 1:
            raise UserError(f"{where}.hidden is {self.hidden}: give a number of channels above 0, or None")
        if not 0 <= self.negative_iou <= self.positive_iou <= 1:
            raise UserError(
                f"{where}.negative_iou is {self.negative_iou}, positive_iou is {self.positive_iou}: give IoUs in 0..1, "
                "negative_iou not above positive_iou"
            )
        if self.anchors_per_image < 1:
            raise UserError(f"{where}.anchors_per_image is {self.anchors_per_image}: give 1 or more (the paper: 8)")
        if not 0 <= self.positive_fraction <= 1:
            raise UserError(f"{where}.positive_fraction is {self.positive_fraction}: give a fraction in 0..1")


_SETTINGS = ClassRPNSettings()


class ClassRPN(PerClassModel):
    """A map of the net and two per-class linear layers on it: objectness and box deltas of each anchor for each class.

    Row ``class * A + anchor`` of these layers belongs to that anchor of that class (localization/per_class.py).

    Args:
        net: the backbone, with or without fc. Unused layers (fc; conv5 for the stage "conv4") are not trained.
        num_classes: K.
        settings: by default for 224-pixel crops.
        augment: changes colours of the normalized crops in training, see `PerClassModel`.
    """

    net: ResNet

    def __init__(
        self,
        net: ResNet,
        num_classes: int,
        settings: ClassRPNSettings = _SETTINGS,
        augment: nn.Module | None = None,
    ) -> None:
        s = settings
        super().__init__(net, num_classes, augment, s.frozen_bn, s.frozen_stages)
        self.settings = s
        if s.holes:
            make_holes(getattr(net, s.stage))
        if net.fc is not None:
            net.fc.requires_grad_(False)
        if s.stage == "conv4":
            net.conv5.requires_grad_(False)
        self.anchors = AnchorGenerator(s.scales, s.ratios, STRIDES[s.stage] // (2 if s.holes else 1))
        channels = net.channels if s.stage == "conv5" else net.trunk_channels
        self.conv = None if s.hidden is None else ConvBN(channels, s.hidden, 3)
        if self.conv is not None:
            nn.init.normal_(self.conv.conv.weight, std=0.01)
        self.objectness = PerClassLinear(s.hidden or channels, num_classes, 1, kinds=self.anchors.num_anchors)
        self.deltas = PerClassLinear(s.hidden or channels, num_classes, 4, kinds=self.anchors.num_anchors)
        self.to(memory_format=torch.channels_last)

    def forward(self, batch: LocalizationBatch) -> dict[str, Tensor]:
        """The losses of one training step, see `losses`."""
        return self.losses(self.map(self.prepare(batch.images, batch.seeds)), batch)

    def map(self, x: Tensor) -> Tensor:
        """The input of the per-class layers, [N, C, h, w], from normalized images x [N, 3, H, W]."""
        x = self.net.trunk(x.to(self.net.dtype))
        if self.settings.stage == "conv5":
            x = self.net.conv5(x)
        return x if self.conv is None else self.conv(x).relu_()

    def losses(self, map: Tensor, batch: LocalizationBatch) -> dict[str, Tensor]:
        """Losses on a random sample of each crop's anchors, for its class, divided by anchors_per_image * N.

        Crops without a box contribute 0 but count in N (choice), so that accumulated passes give the gradient of one
        large batch.

        Args:
            map: of `map`, [N, C, h, w].
            batch: classes, ground-truth boxes and seeds.

        Returns:
            "loss_rpn_objectness", binary cross entropy over positives and negatives, and "loss_rpn_box", smooth L1 over
            the positives.
        """
        s, A = self.settings, self.anchors.num_anchors
        chosen, targets = self._sample(map.shape[-2:], batch)
        rows = batch.labels[:, None] * A + chosen.index % A  # [N, S]
        vectors = _gather_cells(map, chosen.index // A)  # [N, S, C]
        objectness, box = rpn_losses(
            self.objectness(vectors, rows).squeeze(-1), self.deltas(vectors, rows), targets,
            chosen.positive, chosen.valid, s.beta, normalizer=s.anchors_per_image * len(map),
        )  # fmt: skip
        return {"loss_rpn_objectness": objectness, "loss_rpn_box": box}

    @torch.no_grad()
    def _sample(self, cells: torch.Size, batch: LocalizationBatch) -> tuple[SampledBoxes, Tensor]:
        """S sampled anchors per crop, and the deltas [N, S, 4] to their objects."""
        s = self.settings
        height, width = cells
        anchors = self.anchors(height, width, batch.boxes.device)  # [h * w * A, 4]
        objects = batch.mask & (area(batch.boxes) > 0)
        labels, index, _ = match_boxes(batch.boxes, anchors, objects, s.positive_iou, s.negative_iou, low_quality=True)
        labels = labels.masked_fill(~objects.any(1, keepdim=True), IGNORED)  # a crop without boxes is not trained on
        keys = random_keys(batch.seeds, labels.shape[1], STREAM)
        chosen = sample(labels, keys, s.anchors_per_image, s.positive_fraction)
        if s.repeat_positives:
            chosen = repeat_positives(chosen, int(s.anchors_per_image * s.positive_fraction))
        if not batch.boxes.shape[1]:
            return chosen, batch.boxes.new_zeros(*chosen.index.shape, 4)
        learned = gather_boxes(batch.boxes, index.gather(1, chosen.index))
        return chosen, encode(learned, anchors[chosen.index])

    def scores_and_boxes(self, map: Tensor, labels: Tensor, size: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Logits [N, L, M] and boxes [N, L, M, 4], in input pixels, of all M anchors for L classes.

        Args:
            map: of `map`, [N, C, h, w].
            labels: int64 [N, L], the classes to compute: the true class, or a classifier's top five.
            size: (height, width) of the input, to which the boxes are clipped; None: the map's size times its stride.
        """
        N, _, h, w = map.shape
        A, L = self.anchors.num_anchors, labels.shape[1]
        rows = (labels[..., None] * A + torch.arange(A, device=labels.device)).flatten(1)  # [N, L * A]
        vectors = map.flatten(2).mT  # [N, h * w, C]
        logits = self.objectness.across(vectors, rows).view(N, h * w, L, A).transpose(1, 2).flatten(2)
        deltas = self.deltas.across(vectors, rows).view(N, h * w, L, A, 4).transpose(1, 2).flatten(2, 3)
        boxes = decode(deltas, self.anchors(h, w, map.device), clamp=self.settings.clamp)
        stride = self.anchors.stride
        height, width = size or (h * stride, w * stride)
        return logits, clip_boxes(boxes, torch.tensor([height, width], device=map.device))

    @torch.no_grad()
    def candidates(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """`scores_and_boxes` from images uint8 [N, 3, H, W] of any size: the interface of inference.CandidateModel."""
        return self.scores_and_boxes(self.map(self.net.preprocess(images)), labels, images.shape[-2:])


def _gather_cells(map: Tensor, cells: Tensor) -> Tensor:
    """Vectors [N, S, C] of a map [N, C, h, w] at its cells int64 [N, S], numbered row by row.

    ``F.embedding`` sums its gradient in a fixed order, so that training is deterministic.
    """
    N, C, h, w = map.shape
    first = torch.arange(N, device=cells.device)[:, None] * (h * w)
    return F.embedding(first + cells, map.permute(0, 2, 3, 1).reshape(N * h * w, C))
