"""Localization at test time (App. C): "1-crop", or "dense" at several scales and mirrored; a box for each given class.

    found = find_candidates(model, crops, labels)                     # the boxes of all anchors of all crops
    boxes, scores = top_proposals(found, count=1, nms_iou=None).best(image_sizes)          # the best box per class
    boxes = vote_for(boxes, found.boxes, found.logits.sigmoid(), 0.5)                      # after box voting
    proposals = class_proposals(model, crops, labels, count=200)      # for the R-CNN stage

`crops` are MappedCrops of the same N images in the same order, one for each scale and flip (localization/crops.py).
`labels` int64 [N, L] are the classes to localize: the true class ("oracle"), or a classifier's top five. Boxes of all
crops are mapped to image pixels and collected in one set. Score maps are not averaged over scales, as their anchors are
different boxes.

Shapes: N images, L classes per image, M candidate boxes and R proposals per class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from resdet.boxes.nms import nms
from resdet.boxes.voting import vote
from resdet.localization.crops import MappedCrops


class CandidateModel(Protocol):
    """A model that predicts candidate boxes for given classes: ClassRPN, CropRegression."""

    def candidates(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, L, M] and boxes [N, L, M, 4], in crop pixels, from uint8 [N, 3, h, w] and int64 [N, L]."""
        ...


class Candidates(NamedTuple):
    """The boxes of all anchors of all crops, for L classes per image; some have no area."""

    boxes: Tensor  # float32 [N, L, M, 4], in image pixels
    logits: Tensor  # float32 [N, L, M]

    @staticmethod
    def of_all(parts: Sequence[Candidates]) -> Candidates:
        """The union of several localizers' candidates."""
        return Candidates(torch.cat([part.boxes for part in parts], 2), torch.cat([part.logits for part in parts], 2))


class ClassProposals(NamedTuple):
    """R proposals for each of L classes per image, by descending score; padding has a zero box and score 0."""

    boxes: Tensor  # float32 [N, L, R, 4], in image pixels
    scores: Tensor  # float32 [N, L, R], probabilities
    valid: Tensor  # bool [N, L, R], False in padding

    def best(self, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The highest-scoring box of each class [N, L, 4] and its score [N, L].

        A class without any proposal gets the whole image. `image_sizes` int64 [N, 2] is (height, width).
        """
        height, width = image_sizes.to(self.boxes.dtype)[:, None].unbind(-1)
        whole = torch.stack([0 * width, 0 * height, width, height], -1)  # [N, 1, 4]
        return torch.where(self.valid[:, :, :1], self.boxes[:, :, 0], whole), self.scores[:, :, 0]


@torch.no_grad()
def find_candidates(model: CandidateModel, crops: Sequence[MappedCrops], labels: Tensor) -> Candidates:
    """All candidate boxes of all crops, for the classes `labels` int64 [N, L]."""
    found = [(*model.candidates(part.images, labels), part) for part in crops]
    boxes = torch.cat([part.to_image(boxes) for _, boxes, part in found], 2)
    return Candidates(boxes, torch.cat([logits for logits, _, _ in found], 2))


def vote_for(best: Tensor, boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Box voting: replace each class's best box by the score-weighted mean of its boxes with an IoU >= `iou` to it.

    The boxes of every scale and flip vote (choice: the paper does not say how scales are merged).

    Args:
        best: [N, L, 4], in image pixels.
        boxes: [N, L, M, 4], all boxes of each class.
        scores: [N, L, M], probabilities.
        iou: 0..1.

    Returns:
        boxes [N, L, 4].
    """
    classes = torch.arange(best.shape[1], device=best.device)
    images = zip(best, boxes.transpose(1, 2), scores.mT, strict=True)
    return torch.stack([vote(kept, classes, boxes, weights, iou) for kept, boxes, weights in images])


def class_proposals(
    model: CandidateModel,
    crops: Sequence[MappedCrops],
    labels: Tensor,
    count: int = 200,
    nms_iou: float | None = 0.7,
    pre_nms: int = 6000,
) -> ClassProposals:
    """The highest-scoring boxes of each class over all crops, after NMS.

    Args:
        model: predicts the candidates.
        crops: of the same N images.
        labels: int64 [N, L].
        count: R, proposals kept per class; 200 in the paper.
        nms_iou: IoU threshold of NMS within each class of each image; None for no NMS (choice: 0.7, as in the RPN of
            Faster R-CNN; the paper says only "the highest scored 200").
        pre_nms: highest-scoring boxes that enter NMS (choice: as in the RPN of Faster R-CNN).
    """
    return top_proposals(find_candidates(model, crops, labels), count, nms_iou, pre_nms)


def top_proposals(
    found: Candidates, count: int = 200, nms_iou: float | None = 0.7, pre_nms: int = 6000
) -> ClassProposals:
    """The proposals of `class_proposals`, from candidates that are already computed."""
    best = keep_best(found.boxes, found.logits, count, nms_iou, pre_nms)
    # Ranked by logit: large logits are different, but their probabilities are equal in float32.
    return best._replace(scores=best.scores.sigmoid())


def keep_best(boxes: Tensor, scores: Tensor, count: int, nms_iou: float | None, pre_nms: int = 6000) -> ClassProposals:
    """The `count` highest-scoring boxes of each class after NMS, padded.

    Boxes without an area or with a coordinate that is not finite are dropped.

    Args:
        boxes: [N, L, M, 4].
        scores: [N, L, M], any real numbers; -inf drops a box.
        count: R.
        nms_iou: IoU threshold of NMS; None for no NMS.
        pre_nms: highest-scoring boxes that enter NMS.

    Returns:
        proposals with the given scores; padding has score -inf.
    """
    N, L, _ = scores.shape
    sound = (boxes[..., 2:] > boxes[..., :2]).all(-1) & boxes.isfinite().all(-1)  # comparisons with NaN are False
    scores = torch.where(sound & scores.isfinite(), scores, -torch.inf)
    limit = count if nms_iou is None else pre_nms
    scores, order = scores.sort(stable=True, dim=-1, descending=True)
    scores, order = scores[..., :limit], order[..., :limit]
    boxes = torch.where(scores.isfinite()[..., None], boxes.gather(2, order[..., None].expand(-1, -1, -1, 4)), 0.0)
    slots = ClassProposals(
        boxes.new_zeros(N, L, count, 4), scores.new_full((N, L, count), -torch.inf),
        torch.zeros(N, L, count, dtype=torch.bool, device=boxes.device),
    )  # fmt: skip
    for n in range(N):
        for k in range(L):
            # Dropped boxes are empty: they suppress nothing and come last.
            keep = slice(count) if nms_iou is None else nms(boxes[n, k], scores[n, k], nms_iou, count)
            kept = boxes[n, k, keep]
            slots.boxes[n, k, : len(kept)] = kept
            slots.scores[n, k, : len(kept)] = scores[n, k, keep]
            slots.valid[n, k, : len(kept)] = scores[n, k, keep].isfinite()
    return slots
