"""Several localizers as one (App. C, Table 14), or one in the mirror too: proposals united, scores averaged.

found = [class_proposals(model, views, labels) for model in models]     # resdet/localization/inference.py
proposals = unite(found)                                                # N x L x 200 slots again
boxes, scores = proposals.best(image_sizes)                             # an ensemble of RPNs alone
proposals = rescore(RCNNEnsemble([a, b]), images, proposals, labels)    # every net scores every region
proposals = rescore(RCNNEnsemble([a, Mirrored(a)]), images, proposals, labels)    # a net, every region twice
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
    """The union of several localizers' proposals of the same classes, each with the mean of all localizers' scores.

    What a localizer gives to another's box is the best score among its own boxes with an IoU of at least `agree_iou` to
    it, 0 if there is none (choice: an RPN cannot score a given box). Then NMS, and the best `count` (None: all).
    """
    boxes = torch.cat([part.boxes for part in found], 2)  # [N, L, M, 4]
    valid = torch.cat([part.valid for part in found], 2)
    given = torch.stack([_opinion(part, boxes, agree_iou) for part in found])  # [models, N, L, M]
    start = 0
    for part, scores in zip(found, given, strict=True):
        scores[:, :, start : start + part.scores.shape[2]] = part.scores  # of its own boxes each localizer is sure
        start += part.scores.shape[2]
    scores = given.mean(0).masked_fill(~valid, -torch.inf)
    size = boxes.shape[2]
    best = keep_best(boxes, scores, size if count is None else count, nms_iou, pre_nms=size)
    return best._replace(scores=best.scores.masked_fill(~best.valid, 0))


def _opinion(part: ClassProposals, boxes: Tensor, agree_iou: float) -> Tensor:
    """A localizer's scores [N, L, M] of any boxes [N, L, M, 4]."""
    agrees = (pairwise_iou(boxes, part.boxes) >= agree_iou) & part.valid[:, :, None]  # [N, L, M, R]
    return torch.where(agrees, part.scores[:, :, None], 0.0).amax(-1)


class RCNNEnsemble:
    """Several R-CNN stages as one: the means of their probabilities and of their boxes, for `rescore`.

    Args:
        models: trained on the same classes and on crops of the same size and context.
    """

    def __init__(self, models: Sequence[Refiner]) -> None:
        kinds = {(model.settings.size, model.settings.context) for model in models}
        if len(kinds) != 1:
            raise UserError(f"an ensemble's crops have one size and context, these have {sorted(kinds)}")
        self.models = list(models)

    @property
    def settings(self) -> RCNNSettings:
        """How the crops are made."""
        return self.models[0].settings

    def refine(self, images: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """As LocalizationRCNN.refine."""
        scores, boxes = zip(*(model.refine(images, labels, regions) for model in self.models), strict=True)
        return torch.stack(scores).mean(0), torch.stack(boxes).mean(0)


class Mirrored:
    """An R-CNN stage that is shown the mirror image of each crop, for an ensemble with itself (not in the paper)."""

    def __init__(self, model: Refiner) -> None:
        self.model = model

    @property
    def settings(self) -> RCNNSettings:
        """How the crops are made."""
        return self.model.settings

    def refine(self, images: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """As LocalizationRCNN.refine; the boxes are those of `images`, mirrored back within their regions."""
        scores, boxes = self.model.refine(images.flip(-1), labels, regions)
        return scores, mirror_within(boxes, regions[..., 0] + regions[..., 2])
