"""How localization is tested (App. C): "1-crop", or "dense" at several scales and mirrored; a box for each given class.

    boxes, scores = localize(model, [crop], labels)                      # 1-crop: the best box of each class
    boxes, scores = localize(model, views, labels)                       # dense: the best over all scales and flips
    boxes, scores = localize(model, views, labels, vote_iou=0.5)         # the mean of all that agree with the best
    proposals = class_proposals(model, views, labels, count=200)         # for the R-CNN stage

Views are resdet/localization/views.py's, of the same N images in the same order; `labels` int64 [N, L] are the true
class ("oracle") or what a classifier ranks first. Each view's boxes are decoded and taken to the image's own pixels,
then united: maps of different scales are never averaged, their anchors are different boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from resdet.boxes.nms import nms
from resdet.boxes.voting import vote
from resdet.localization.views import View


class Localizer(Protocol):
    """What a stage offers for testing: ClassRPN and CropRegression do."""

    def candidates(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, 3, h, w] and int64 [N, L] -> logits [N, L, M] and boxes [N, L, M, 4] in input pixels."""
        ...


class Candidates(NamedTuple):
    """All M boxes of all scales and flips, for each of an image's L classes; some are without area."""

    boxes: Tensor  # float32 [N, L, M, 4], pixels of the images
    logits: Tensor  # float32 [N, L, M]

    @staticmethod
    def of_all(parts: Sequence[Candidates]) -> Candidates:
        """Those of several localizers together."""
        return Candidates(torch.cat([part.boxes for part in parts], 2), torch.cat([part.logits for part in parts], 2))


class ClassProposals(NamedTuple):
    """R slots for each of an image's L classes, by falling score; padding has a zero box and score 0."""

    boxes: Tensor  # float32 [N, L, R, 4], pixels of the images
    scores: Tensor  # float32 [N, L, R], probabilities
    valid: Tensor  # bool [N, L, R], False in padding

    def best(self, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The first box of each class, [N, L, 4], and its score [N, L]; the whole image where there is none."""
        height, width = image_sizes.to(self.boxes.dtype)[:, None].unbind(-1)
        whole = torch.stack([0 * width, 0 * height, width, height], -1)  # [N, 1, 4]
        return torch.where(self.valid[:, :, :1], self.boxes[:, :, 0], whole), self.scores[:, :, 0]


def localize(
    model: Localizer, views: Sequence[View], labels: Tensor, vote_iou: float | None = None
) -> tuple[Tensor, Tensor]:
    """The single best box of each class over all views: boxes [N, L, 4] in image pixels, probabilities [N, L].

    vote_iou: merge it with all boxes of its class that have so large an IoU to it (`vote_for`); None: with none.
    """
    found = candidates_in(model, views, labels)
    boxes, scores = best_of(found, count=1, nms_iou=None).best(views[0].image_sizes)
    return boxes if vote_iou is None else vote_for(boxes, found.boxes, found.logits.sigmoid(), vote_iou), scores


@torch.no_grad()
def candidates_in(model: Localizer, views: Sequence[View], labels: Tensor) -> Candidates:
    """Every box of every view, for each class of `labels` int64 [N, L]."""
    found = [(*model.candidates(view.images, labels), view) for view in views]
    boxes = torch.cat([view.to_image(boxes) for _, boxes, view in found], 2)
    return Candidates(boxes, torch.cat([logits for logits, _, _ in found], 2))


def vote_for(best: Tensor, boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """The mean of each class's `boxes` with an IoU of at least `iou` to its best one, weighted by their probabilities.

    `best` [N, L, 4], `boxes` [N, L, M, 4], `scores` [N, L, M] -> [N, L, 4]. As box voting of the detectors, but with
    every scale and flip among the voters (choice: the paper does not say how views are merged).
    """
    classes = torch.arange(best.shape[1], device=best.device)
    images = zip(best, boxes.transpose(1, 2), scores.mT, strict=True)
    return torch.stack([vote(kept, classes, boxes, weights, iou) for kept, boxes, weights in images])


def class_proposals(
    model: Localizer,
    views: Sequence[View],
    labels: Tensor,
    count: int = 200,
    nms_iou: float | None = 0.7,
    pre_nms: int = 6000,
) -> ClassProposals:
    """The best `count` boxes of each class over all views.

    nms_iou: of the suppression within each class of each image, before which the `pre_nms` best boxes are kept (choice:
    as the detector's RPN at test; the paper says "the highest scored 200"). None suppresses nothing.
    """
    return best_of(candidates_in(model, views, labels), count, nms_iou, pre_nms)


def best_of(found: Candidates, count: int = 200, nms_iou: float | None = 0.7, pre_nms: int = 6000) -> ClassProposals:
    """As `class_proposals`, of boxes that are there."""
    best = keep_best(found.boxes, found.logits, count, nms_iou, pre_nms)
    return best._replace(scores=best.scores.sigmoid())  # ranked by logits: large ones share a probability


def keep_best(boxes: Tensor, scores: Tensor, count: int, nms_iou: float | None, pre_nms: int = 6000) -> ClassProposals:
    """The best `count` of boxes [N, L, M, 4] by scores [N, L, M] after NMS, in slots; -inf scores an empty slot.

    Boxes without area or with a number that is not finite are dropped.
    """
    N, L, _ = scores.shape
    sound = (boxes[..., 2:] > boxes[..., :2]).all(-1) & boxes.isfinite().all(-1)  # a comparison with NaN is False
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
            # Empty boxes suppress nothing and come last.
            keep = slice(count) if nms_iou is None else nms(boxes[n, k], scores[n, k], nms_iou, count)
            kept = boxes[n, k, keep]
            slots.boxes[n, k, : len(kept)] = kept
            slots.scores[n, k, : len(kept)] = scores[n, k, keep]
            slots.valid[n, k, : len(kept)] = scores[n, k, keep].isfinite()
    return slots
