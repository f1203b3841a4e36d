"""The R-CNN stage (App. C): a second net classifies and refines warped crops of the per-class RPN's proposals.

    model = LocalizationRCNN(ResNet(101, num_classes=None), num_classes=1000)
    losses = model(batch)                                        # RegionBatch -> a dict of two losses
    scores, deltas = model.predict(crops, labels)                # uint8 [B, 3, S, S], int64 [B] -> [B], [B, 4]
    by_rule = rescore(model, images, proposals, labels)          # test: new scores and boxes, sorted by score

"The outputs of this network consist of two sibling fc layers for cls and reg, also in a per-class form": a binary
classifier and a box regressor for each class. A crop trains those of its image's class.

Shapes: B crops of S x S pixels; N images, L classes per image, R proposals per class; K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from resdet.boxes.coding import decode
from resdet.boxes.geometry import clip_boxes
from resdet.boxes.losses import rpn_losses
from resdet.errors import UserError
from resdet.localization.inference import ClassProposals
from resdet.localization.model import PerClassModel, refuse_fc
from resdet.localization.per_class import PerClassLinear
from resdet.localization.warping import warp_regions
from resdet.nets.backbone import Backbone
from resdet.ranges import Count, Share
from resdet.structures import RegionBatch

Combine = Literal["replace", "product", "odds", "keep"]
LOGIT_EPS = 1e-6  # probabilities are clamped to [eps, 1 - eps] before their logits are added


@dataclass(frozen=True)
class RCNNSettings:
    """Settings of the R-CNN stage; the defaults are the paper's, or those of R-CNN and Fast R-CNN.

    Args:
        size: S, side of the warped crops in pixels.
        context: pixels of image context around the region, in a 224-pixel crop; scaled in proportion for other sizes;
            16 in R-CNN, which App. C follows.
        positive_iou: a region with at least this IoU to an object is positive, others are negative.
        positive_fraction: fraction of positives in a batch; the paper has 1:3.
        delta_weights: factors of the regression targets (dx, dy, dw, dh), which bring their standard deviation to about
            1 (Fast R-CNN).
        beta: transition point of the smooth L1 loss.
        frozen_bn: replace BN by constants, in place; False trains it.
        frozen_stages: conv1 to conv{frozen_stages} are not trained.

    Raises:
        UserError: a value is out of its range.
    """

    size: Count = 224
    context: float = 16.0
    positive_iou: Share = 0.5
    positive_fraction: Share = 0.25
    delta_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    beta: float = 1.0
    frozen_bn: bool = False
    frozen_stages: int = 0

    def __post_init__(self) -> None:
        where = "rcnn.settings"
        if self.size < 1:
            raise UserError(f"{where}.size is {self.size}: give the side of a crop in pixels, 1 or more")
        if not 0 <= self.context < 112:
            raise UserError(f"{where}.context is {self.context}: give pixels of a 224-pixel crop, 0 or more, below 112")
        if not 0 < self.positive_iou <= 1:
            raise UserError(f"{where}.positive_iou is {self.positive_iou}: give an IoU above 0 and up to 1")
        if not 0 <= self.positive_fraction <= 1:
            raise UserError(f"{where}.positive_fraction is {self.positive_fraction}: give a fraction in 0..1")
        if len(self.delta_weights) != 4 or min(self.delta_weights) <= 0:
            raise UserError(f"{where}.delta_weights is {self.delta_weights}: give four numbers above 0")


class LocalizationRCNN(PerClassModel):
    """The feature vector of each crop and two per-class linear layers on it: a logit and box deltas for each class.

    Args:
        net: the backbone, without fc.
        num_classes: K.
        settings: None gives the paper's.
        augment: changes colours of the normalized crops in training, see `PerClassModel`.

    Raises:
        UserError: the net has an fc layer.
    """

    def __init__(
        self, net: Backbone, num_classes: int, settings: RCNNSettings | None = None, augment: nn.Module | None = None
    ) -> None:
        refuse_fc(net, "the R-CNN stage")
        s = settings or RCNNSettings()
        super().__init__(net, num_classes, augment, s.frozen_bn, s.frozen_stages)
        self.settings = s
        self.scores = PerClassLinear(net.channels, num_classes, 1)
        self.deltas = PerClassLinear(net.channels, num_classes, 4, std=0.001)
        self.to(memory_format=torch.channels_last)

    def forward(self, batch: RegionBatch) -> dict[str, Tensor]:
        """Losses for the image's class, divided by B: the denominator includes padding and is fixed.

        Returns:
            "loss_class", binary cross entropy, and "loss_box", smooth L1 over the positives.
        """
        x = self.prepare(batch.images, batch.seeds)
        logits, deltas = self._logits_and_deltas(x, batch.labels)
        classification, box = rpn_losses(
            logits, deltas, batch.targets, batch.positive, batch.valid, self.settings.beta, normalizer=len(x)
        )
        return {"loss_class": classification, "loss_box": box}

    def _logits_and_deltas(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B] and deltas [B, 4] of normalized crops [B, 3, S, S], for one class each."""
        vectors = self.net(x.to(self.net.dtype))
        return self.scores(vectors, labels).squeeze(-1), self.deltas(vectors, labels)

    @torch.no_grad()
    def predict(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [B] and deltas [B, 4] of crops uint8 [B, 3, S, S], for one class each, `labels` int64 [B]."""
        logits, deltas = self._logits_and_deltas(self.net.preprocess(images), labels)
        return logits.sigmoid(), deltas

    def refine(self, images: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [B] and refined boxes [B, 4].

        Args:
            images: crops, uint8 [B, 3, S, S].
            labels: the class of each, int64 [B].
            regions: the boxes that the crops were warped from, without context, [B, 4], in any pixels.
        """
        scores, deltas = self.predict(images, labels)
        return scores, decode(deltas, regions, self.settings.delta_weights)


class Refiner(Protocol):
    """Scores and refines regions: LocalizationRCNN, or an ensemble (localization/ensemble.py)."""

    @property
    def settings(self) -> RCNNSettings:
        """Size and context of the crops."""
        ...

    def refine(self, images: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [B] and refined boxes [B, 4]; the arguments are those of `LocalizationRCNN.refine`."""
        ...


@torch.no_grad()
def rescore(
    model: Refiner,
    images: Sequence[Tensor],
    proposals: ClassProposals,
    labels: Tensor,
    rules: Sequence[Combine] = ("replace",),
    chunk: int = 200,
    warp: Callable[[Tensor, Tensor, int, float], Tensor] = warp_regions,
) -> dict[Combine, ClassProposals]:
    """Score and refine every proposal once (200 of each predicted class in the paper).

    Args:
        model: scores and refines the regions.
        images: N images uint8 [3, H, W], in whose pixels the proposals are.
        proposals: [N, L, R].
        labels: int64 [N, L], the class of the proposals.
        rules: how the final score is made of the RPN's score p and the R-CNN's score q. "replace": q. "product": p * q.
            "odds": the odds of p times the square root of the odds of q, which separates boxes that both are almost
            certain of. "keep": p, so that only the boxes change.
        chunk: crops per forward pass.
        warp: makes the crops, called with (image, regions, size, context); use the function that made the training's.

    Returns:
        For each rule the proposals with refined boxes, sorted by their final score.

    Raises:
        UserError: a rule is unknown.
    """
    unknown = next((rule for rule in rules if rule not in get_args(Combine)), None)
    if unknown is not None:
        raise UserError(f"combine is {unknown!r}: give one of {', '.join(get_args(Combine))}")
    boxes, scores = proposals.boxes.clone(), torch.zeros_like(proposals.scores)
    for n, image in enumerate(images):
        of_class, slot = proposals.valid[n].nonzero(as_tuple=True)
        for k, r in zip(torch.split(of_class, chunk), torch.split(slot, chunk), strict=True):
            regions = proposals.boxes[n, k, r]
            crops = warp(image, regions, model.settings.size, model.settings.context)
            scores[n, k, r], refined = model.refine(crops, labels[n, k], regions)
            boxes[n, k, r] = clip_boxes(refined, torch.tensor(image.shape[-2:], device=refined.device))
    return {rule: _sorted(ClassProposals(boxes, _combined(rule, proposals, scores), proposals.valid)) for rule in rules}


def _combined(rule: Combine, proposals: ClassProposals, scores: Tensor) -> Tensor:
    """The final scores, from the RPN's in `proposals` and the R-CNN's."""
    if rule == "product":
        return scores * proposals.scores
    if rule == "odds":
        logits = proposals.scores.logit(LOGIT_EPS) + scores.logit(LOGIT_EPS) / 2
        return torch.where(proposals.valid, logits.sigmoid(), 0.0)
    return proposals.scores if rule == "keep" else scores


def _sorted(found: ClassProposals) -> ClassProposals:
    """By descending score, padding last; ties keep the RPN's order."""
    order = found.scores.masked_fill(~found.valid, -1).argsort(stable=True, dim=-1, descending=True)
    boxes = found.boxes.gather(2, order[..., None].expand(-1, -1, -1, 4))
    return ClassProposals(boxes, found.scores.gather(2, order), found.valid.gather(2, order))
