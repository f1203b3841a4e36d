"""The R-CNN stage (App. C): warped crops of the per-class RPN's boxes, scored and moved by a net of their own.

    model = LocalizationRCNN(ResNet(101, num_classes=None), num_classes=1000)
    losses = model(batch)                                        # RegionBatch -> a dict of two losses
    scores, deltas = model.predict(crops, labels)                # uint8 [B, 3, S, S], int64 [B] -> [B], [B, 4]
    proposals = rescore(model, images, proposals, labels)        # test: new scores and boxes, the best box first

"The outputs of this network consist of two sibling fc layers for cls and reg, also in a per-class form": a binary
logistic and a regressor for each class; a crop trains those of its image's class. Crops come from
resdet/localization/regions.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from resdet.boxes.coding import decode
from resdet.boxes.geometry import clip_boxes
from resdet.boxes.losses import rpn_losses
from resdet.errors import UserError
from resdet.localization.inference import ClassProposals
from resdet.localization.per_class import PerClassLinear
from resdet.localization.regions import warp_regions
from resdet.nets.frozen_bn import freeze_batch_norm
from resdet.nets.frozen_stages import freeze_stages
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG

Combine = Literal["replace", "product", "odds", "keep"]
SURE = 1e-6  # no probability is nearer to 0 or 1 when odds are multiplied


@dataclass(frozen=True)
class RCNNSettings:
    """The paper's values; where it is silent, R-CNN's and Fast R-CNN's.

    Args:
        size: crops are warped to so many pixels on a side.
        context: pixels of a crop of 224 that show what lies around the region, in proportion for other sizes; 16 in
            R-CNN (choice: 0).
        positive_iou: from which a region is positive, below it is negative.
        positive_fraction: of a batch; "1:3".
        delta_weights: divide the deltas' spread, so that they are of order one.
        beta: of the smooth L1 loss.
        frozen_bn, frozen_stages: as ClassRPNSettings'.
    """

    size: int = 224
    context: float = 0.0
    positive_iou: float = 0.5
    positive_fraction: float = 0.25
    delta_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    beta: float = 1.0
    frozen_bn: bool = False
    frozen_stages: int = 0

    def __post_init__(self) -> None:
        where = "rcnn.settings"
        if self.size < 1:
            raise UserError(f"{where}.size is {self.size}: give a crop's side in pixels, 1 or more")
        if not 0 <= self.context < 112:
            raise UserError(f"{where}.context is {self.context}: give 0 or more, and less than half of a crop of 224")
        if not 0 < self.positive_iou <= 1:
            raise UserError(f"{where}.positive_iou is {self.positive_iou}: give an IoU above 0 and up to 1")
        if not 0 <= self.positive_fraction <= 1:
            raise UserError(f"{where}.positive_fraction is {self.positive_fraction}: give a share from 0 to 1")
        if len(self.delta_weights) != 4 or min(self.delta_weights) <= 0:
            raise UserError(f"{where}.delta_weights is {self.delta_weights}: give four numbers above 0")


@dataclass
class RegionBatch:
    """Warped regions of as many images, the class of each image, and what each region is to learn."""

    images: Tensor  # uint8 [B, 3, S, S] (channels_last memory), RGB
    labels: Tensor  # int64 [B], of the image
    positive: Tensor  # bool [B]
    targets: Tensor  # float32 [B, 4], encode(object, region, delta_weights); anything where not positive
    valid: Tensor  # bool [B], False where the slot is padding
    seeds: Tensor  # int64 [B], keys of every random draw made for this region in this step
    image_ids: list[str]

    def to(self, device: torch.device | str) -> RegionBatch:
        """A copy on `device`."""
        return replace(self, **{name: value.to(device, non_blocking=True) for name, value in self._tensors().items()})

    def pin_memory(self) -> RegionBatch:
        """Called by torch's DataLoader when ``pin_memory=True``."""
        return replace(self, **{name: value.pin_memory() for name, value in self._tensors().items()})

    def _tensors(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "image_ids"}

    def __len__(self) -> int:
        return len(self.image_ids)


class LocalizationRCNN(nn.Module):
    """A net's vector of each crop, and two per-class siblings.

    Args:
        net: without fc.
        num_classes: K.
        settings: the defaults are the paper's.
        augment: as ClassRPN's.
    """

    def __init__(
        self,
        net: ResNet | VGG,
        num_classes: int,
        settings: RCNNSettings | None = None,
        augment: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.settings = s = settings or RCNNSettings()
        if net.fc is not None:
            raise UserError("the R-CNN stage reads the vector before fc: make the net with num_classes=None")
        if s.frozen_bn:
            freeze_batch_norm(net)
        freeze_stages(net, s.frozen_stages)
        self.net, self.num_classes, self.augment = net, num_classes, augment
        self.scores = PerClassLinear(net.channels, num_classes, 1)
        self.deltas = PerClassLinear(net.channels, num_classes, 4, std=0.001)
        self.to(memory_format=torch.channels_last)

    @property
    def stride_on(self) -> str | None:
        """Which convolution of a bottleneck has the stride: weights of another origin do not fit."""
        return self.net.stride_on

    def forward(self, batch: RegionBatch) -> dict[str, Tensor]:
        """Binary cross entropy and smooth L1 of the image's class, over the number of slots (a fixed denominator)."""
        x = self.net.preprocess(batch.images)
        if self.augment is not None and self.training:
            x = self.augment(x, batch.seeds, self.net.preprocess.std)
        logits, deltas = self._siblings(x, batch.labels)
        classification, box = rpn_losses(
            logits, deltas, batch.targets, batch.positive, batch.valid, self.settings.beta, normalizer=len(x)
        )
        return {"loss_class": classification, "loss_box": box}

    def _siblings(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B] and deltas [B, 4] of preprocessed crops for one class each."""
        vectors = self.net(x.to(self.net.dtype))
        return self.scores(vectors, labels).squeeze(-1), self.deltas(vectors, labels)

    @torch.no_grad()
    def predict(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [B] and deltas [B, 4] of crops uint8 [B, 3, S, S], each for its class of `labels` int64 [B]."""
        logits, deltas = self._siblings(self.net.preprocess(images), labels)
        return logits.sigmoid(), deltas

    def refine(self, images: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [B] and new boxes [B, 4] of the regions [B, 4] that the crops show, in the regions' pixels."""
        scores, deltas = self.predict(images, labels)
        return scores, decode(deltas, regions, self.settings.delta_weights)


class Refiner(Protocol):
    """LocalizationRCNN, or an ensemble of several."""

    @property
    def settings(self) -> RCNNSettings:
        """How its crops are made."""
        ...

    def refine(self, images: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """As LocalizationRCNN.refine."""
        ...


@torch.no_grad()
def rescore(
    model: Refiner,
    images: Sequence[Tensor],
    proposals: ClassProposals,
    labels: Tensor,
    combine: Combine = "replace",
    chunk: int = 200,
    warp: Callable[[Tensor, Tensor, int, float], Tensor] = warp_regions,
) -> ClassProposals:
    """New scores and boxes of every proposal (200 of each predicted class), sorted: `best` is the answer.

    `images` are N uint8 [3, H, W] in the proposals' own pixels, `labels` int64 [N, L] the proposals' classes. The RPN's
    score is replaced, multiplied ("product"), its odds are multiplied by the root of the R-CNN's ("odds": logits tell
    apart what both call almost certain), or it is kept, so that boxes alone change ("keep"). `chunk` crops go through
    the net at once.
    `warp` (image, regions, size, context) makes the crops: give what made those of the training.
    """
    if combine not in get_args(Combine):
        raise UserError(
            f"combine is {combine!r}: the R-CNN stage's score replaces the RPN's, is its factor (product), shares in "
            "its odds (odds), or is left out (keep)"
        )
    boxes, scores = proposals.boxes.clone(), torch.zeros_like(proposals.scores)
    for n, image in enumerate(images):
        of_class, slot = proposals.valid[n].nonzero(as_tuple=True)
        for k, r in zip(of_class.split(chunk), slot.split(chunk), strict=True):
            regions = proposals.boxes[n, k, r]
            crops = warp(image, regions, model.settings.size, model.settings.context)
            scores[n, k, r], refined = model.refine(crops, labels[n, k], regions)
            boxes[n, k, r] = clip_boxes(refined, torch.tensor(image.shape[-2:], device=refined.device))
    if combine == "product":
        scores = scores * proposals.scores
    elif combine == "odds":
        logits = proposals.scores.logit(SURE) + scores.logit(SURE) / 2
        scores = torch.where(proposals.valid, logits.sigmoid(), 0.0)
    elif combine == "keep":
        scores = proposals.scores
    return _sorted(ClassProposals(boxes, scores, proposals.valid))


def _sorted(found: ClassProposals) -> ClassProposals:
    """By falling score, padding last; equal ones stay in the RPN's order."""
    order = found.scores.masked_fill(~found.valid, -1).argsort(stable=True, dim=-1, descending=True)
    boxes = found.boxes.gather(2, order[..., None].expand(-1, -1, -1, 4))
    return ClassProposals(boxes, found.scores.gather(2, order), found.valid.gather(2, order))
