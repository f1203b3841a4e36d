"""The per-class region proposal network (App. C), on a net fine-tuned from classification.

    model = ClassRPN(ResNet(101, num_classes=None), num_classes=1000)
    losses = model(batch)                                    # LocalizationBatch -> a dict of two losses
    logits, boxes = model.candidates(images, labels)         # uint8 [N, 3, H, W], int64 [N, L] -> all M anchors' boxes

Each class has a binary logistic and a box regressor for every anchor. An image trains those of its own class alone, on
eight anchors: their cells and rows of weights are gathered BEFORE the siblings, so that the A x K and A x 4K channels
of the whole map (9,000 and 36,000 for ImageNet) never exist.
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
from resdet.boxes.geometry import area, clip_boxes, pairwise_iou
from resdet.boxes.losses import rpn_losses
from resdet.boxes.targets import IGNORED, Samples, match, repeat_positives, sample
from resdet.draws import random_keys
from resdet.errors import UserError
from resdet.localization.per_class import PerClassLinear
from resdet.nets.blocks import ConvBN
from resdet.nets.frozen_bn import freeze_batch_norm
from resdet.nets.frozen_stages import freeze_stages
from resdet.nets.holes import make_holes
from resdet.nets.resnet import ResNet
from resdet.structures import LocalizationBatch

STREAM = 3  # of random_keys: the per-class RPN's draws
STRIDES = {"conv4": 16, "conv5": 32}


@dataclass(frozen=True)
class ClassRPNSettings:
    """The paper's values; where it is silent, a choice.

    Args:
        stage: the map that the siblings read: "conv5", stride 32 (choice: all of the net that was fine-tuned), or
            "conv4", stride 16.
        holes: the stage's stride becomes holes in its convolutions (nets/holes.py), so that its map has twice as many
            cells each way: stride 16 of conv5, 8 of conv4, for objects that are small in the crop (choice: False).
        hidden: channels of a 3x3 convolution with BN before the siblings; None has none (choice: the paper names the
            siblings alone). Without BN the siblings, each of which sees one class's images, learn far more slowly.
        scales: anchors' sides at ratio 1 in pixels of the crop (choice). The defaults are for crops of 224 and do not
            follow the crop's size: for 112 give others, such as 32, 64, 128.
        ratios: anchors' height over width.
        positive_iou, negative_iou: positive from the first, or best of an object; negative below the second.
        anchors_per_image: sampled an image; times images the fixed denominator of both losses.
        positive_fraction: at most so many of them positive; "1:1".
        repeat_positives: where an object has fewer positive anchors than that, they fill their share of the slots in
            turn, so that a small object weighs as much as a large one (choice: False, negatives fill the slots, as in
            the detectors).
        beta: of the smooth L1 loss.
        clamp: the logarithm of the largest ratio of a box's side to its anchor's.
        frozen_bn: True replaces the net's BN by constants, in place (choice: False, BN goes on as in classification,
            whose batch of 256 crops this training has too).
        frozen_stages: conv1 to conv{frozen_stages} are not trained (choice: 0; 2 as in the detectors saves a third of a
            step on ResNet-18).

    Anchors that cross the border are always kept: few of the large ones would be left in a crop.
    """

    stage: Literal["conv4", "conv5"] = "conv5"
    holes: bool = False
    hidden: int | None = None
    scales: Sequence[float] = (64, 128, 256)
    ratios: Sequence[float] = (0.5, 1, 2)
    positive_iou: float = 0.7
    negative_iou: float = 0.3
    anchors_per_image: int = 8
    positive_fraction: float = 0.5
    repeat_positives: bool = False
    beta: float = 1 / 9
    clamp: float = MAX_LOG_RATIO
    frozen_bn: bool = False
    frozen_stages: int = 0

    def __post_init__(self) -> None:
        where = "model.settings"
        if self.stage not in STRIDES:
            raise UserError(f"{where}.stage is {self.stage!r}: the per-class RPN reads conv5 or conv4")
        for name in ("scales", "ratios"):
            values = list(getattr(self, name))
            if not values or min(values) <= 0:
                raise UserError(f"{where}.{name} is {values}: give one number above 0, or several")
        if self.hidden is not None and self.hidden < 1:
            raise UserError(f"{where}.hidden is {self.hidden}: give a number of channels, or None for no convolution")
        if not 0 <= self.negative_iou <= self.positive_iou <= 1:
            raise UserError(
                f"{where}.negative_iou is {self.negative_iou}, positive_iou {self.positive_iou}: give IoUs from 0 to "
                "1, the first not above the second"
            )
        if self.anchors_per_image < 1:
            raise UserError(f"{where}.anchors_per_image is {self.anchors_per_image}: give 1 or more (the paper: 8)")
        if not 0 <= self.positive_fraction <= 1:
            raise UserError(f"{where}.positive_fraction is {self.positive_fraction}: give a share from 0 to 1")


class ClassRPN(nn.Module):
    """A net's map and two siblings: objectness and box deltas of each anchor for each class.

    Row ``class * A + anchor`` of a sibling belongs to that anchor of that class; all classes share a part of it
    (localization/per_class.py).

    Args:
        net: with or without fc. Parts that are not used (fc; conv5 for the stage "conv4") get no gradient from here on.
        num_classes: K.
        settings: the defaults are for crops of 224.
        augment: what a training image goes through after preprocessing, called with (x, seeds, std); it may change
            colours, not places.
    """

    def __init__(
        self,
        net: ResNet,
        num_classes: int,
        settings: ClassRPNSettings | None = None,
        augment: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.settings = s = settings or ClassRPNSettings()
        if s.frozen_bn:
            freeze_batch_norm(net)
        freeze_stages(net, s.frozen_stages)
        if s.holes:
            make_holes(getattr(net, s.stage))
        self.net, self.num_classes, self.augment = net, num_classes, augment
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

    @property
    def stride_on(self) -> str | None:
        """Which convolution of a bottleneck has the stride: weights of another origin do not fit."""
        return self.net.stride_on

    def forward(self, batch: LocalizationBatch) -> dict[str, Tensor]:
        """The losses of one training step."""
        x = self.net.preprocess(batch.images)
        if self.augment is not None and self.training:
            x = self.augment(x, batch.seeds, self.net.preprocess.std)
        return self.losses(self.map(x), batch)

    def map(self, x: Tensor) -> Tensor:
        """What the siblings read, [N, C, h, w], of preprocessed images x [N, 3, H, W]."""
        x = self.net.trunk(x.to(self.net.dtype))
        if self.settings.stage == "conv5":
            x = self.net.conv5(x)
        return x if self.conv is None else self.conv(x).relu_()

    def losses(self, map: Tensor, batch: LocalizationBatch) -> dict[str, Tensor]:
        """Both losses on a random sample of each crop's anchors, on its own class, over images x anchors_per_image.

        The denominator counts crops without boxes too, though they add nothing (choice): so a step in several passes
        is the step in one, and a crop weighs the same beside any others.
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
    def _sample(self, cells: torch.Size, batch: LocalizationBatch) -> tuple[Samples, Tensor]:
        """Anchors to learn from, S an image, and the deltas [N, S, 4] to their objects."""
        s = self.settings
        height, width = cells
        anchors = self.anchors(height, width, batch.boxes.device)  # [h * w * A, 4]
        objects = batch.mask & (area(batch.boxes) > 0)
        labels, index = match(
            pairwise_iou(batch.boxes, anchors), objects, s.positive_iou, s.negative_iou, low_quality=True
        )
        labels = labels.masked_fill(~objects.any(1, keepdim=True), IGNORED)  # what has no boxes teaches nothing
        keys = random_keys(batch.seeds, labels.shape[1], STREAM)
        chosen = sample(labels, keys, s.anchors_per_image, s.positive_fraction)
        if s.repeat_positives:
            chosen = repeat_positives(chosen, int(s.anchors_per_image * s.positive_fraction))
        if not batch.boxes.shape[1]:
            return chosen, batch.boxes.new_zeros(*chosen.index.shape, 4)
        learned = index.gather(1, chosen.index)[..., None].expand(-1, -1, 4)
        return chosen, encode(batch.boxes.gather(1, learned), anchors[chosen.index])

    def scores_and_boxes(self, map: Tensor, labels: Tensor, size: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """All M anchors of the map for some classes: logits [N, L, M] and boxes [N, L, M, 4] in input pixels.

        Only the rows of weights of `labels` int64 [N, L] are computed: the true class, or a classifier's top five.
        `size` (height, width) of the input, to which the boxes are clipped; None: the map's cells times the stride.
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
        """`scores_and_boxes` of uint8 images [N, 3, H, W] of any one size; what localization/inference.py calls."""
        return self.scores_and_boxes(self.map(self.net.preprocess(images)), labels, images.shape[-2:])


def _gather_cells(map: Tensor, cells: Tensor) -> Tensor:
    """The vectors [N, S, C] of a map [N, C, h, w] at its cells int64 [N, S], numbered row by row.

    An embedding, as the rows of weights are: its gradient adds in a fixed order.
    """
    N, C, h, w = map.shape
    first = torch.arange(N, device=cells.device)[:, None] * (h * w)
    return F.embedding(first + cells, map.permute(0, 2, 3, 1).reshape(N * h * w, C))
