"""Ensembles of localizers and of R-CNN stages (App. C, Table 14), and the mirror test of an R-CNN stage.

    found = [class_proposals(model, crops, labels) for model in models]     # localization/inference.py
    proposals = unite(found)                                                # R = 200 proposals per class again
    boxes, scores = proposals.best(image_sizes)                             # an ensemble of localizers only
    by_rule = rescore(RCNNEnsemble([a, b]), images, proposals, labels)              # every net scores every region
    by_rule = rescore(RCNNEnsemble([a, Mirrored(a)]), images, proposals, labels)    # one net, with mirror images

Shapes: N images, L classes per image, R proposals per class, B regions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from resdet.boxes.geometry import mirror_within, pairwise_iou
from resdet.errors import UserError
from resdet.localization.inference import ClassProposals, keep_best
from resdet.localization.rcnn import RCNNSettings, Refiner


@torch.no_grad()
def unite(
    found: Sequence[ClassProposals], count: int | None = 200, nms_iou: float | None = 0.7, agree_iou: float = 0.7
) -> ClassProposals:
    """Unite the proposals of several localizers: mean scores over the localizers, then NMS.

    A localizer's score for a box of another localizer is the highest score among its own boxes with an IoU >=
    `agree_iou` to it, or 0 if there is none (choice: an RPN cannot score a given box).

    Args:
        found: proposals of the same classes of the same images, one per localizer.
        count: proposals kept per class; None keeps all.
        nms_iou: IoU threshold of NMS; None for no NMS.
        agree_iou: 0..1.
    """
    boxes = torch.cat([part.boxes for part in found], 2)  # [N, L, M, 4]
    valid = torch.cat([part.valid for part in found], 2)
    given = torch.stack([_scores_for(part, boxes, agree_iou) for part in found])  # [localizers, N, L, M]
    start = 0
    for part, scores in zip(found, given, strict=True):
        scores[:, :, start : start + part.scores.shape[2]] = part.scores  # a localizer's own boxes keep their scores
        start += part.scores.shape[2]
    scores = given.mean(0).masked_fill(~valid, -torch.inf)
    size = boxes.shape[2]
    best = keep_best(boxes, scores, size if count is None else count, nms_iou, pre_nms=size)
    return best._replace(scores=best.scores.masked_fill(~best.valid, 0))


def _scores_for(part: ClassProposals, boxes: Tensor, agree_iou: float) -> Tensor:
    """One localizer's scores [N, L, M] for given boxes [N, L, M, 4]."""
    agrees = (pairwise_iou(boxes, part.boxes) >= agree_iou) & part.valid[:, :, None]  # [N, L, M, R]
    return torch.where(agrees, part.scores[:, :, None], 0.0).amax(-1)


class RCNNEnsemble:
    """Several R-CNN stages as one Refiner: the means of their probabilities and of their boxes.

    Args:
        models: trained on the same classes, on crops of the same size and context.

    Raises:
        UserError: sizes or contexts differ.
    """

    def __init__(self, models: Sequence[Refiner]) -> None:
        kinds = {(model.settings.size, model.settings.context) for model in models}
        if len(kinds) != 1:
            raise UserError(f"an ensemble needs crops of one size and context; these have {sorted(kinds)}")
        self.models = list(models)

    @property
    def settings(self) -> RCNNSettings:
        """Size and context of the crops."""
        return self.models[0].settings

    def refine(self, images: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Mean probabilities [B] and mean boxes [B, 4]; see `Refiner.refine`."""
        scores, boxes = zip(*(model.refine(images, labels, regions) for model in self.models), strict=True)
        return torch.stack(scores).mean(0), torch.stack(boxes).mean(0)


class Mirrored:
    """An R-CNN stage applied to the mirror image of each crop (not in the paper): combine it with `RCNNEnsemble`."""

    def __init__(self, model: Refiner) -> None:
        self.model = model

    @property
    def settings(self) -> RCNNSettings:
        """Size and context of the crops."""
        return self.model.settings

    def refine(self, images: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [B] and boxes [B, 4], mirrored back within their regions; see `Refiner.refine`."""
        scores, boxes = self.model.refine(images.flip(-1), labels, regions)
        return scores, mirror_within(boxes, regions[..., 0] + regions[..., 2])
