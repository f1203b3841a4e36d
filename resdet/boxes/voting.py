"""Box voting (Gidaris and Komodakis 2015, Sect. 4; App. B): a kept box becomes the mean of those that agree with it.

boxes = vote(kept, labels, all_boxes, all_scores, iou=0.5)
"""

from __future__ import annotations

import torch
from torch import Tensor

from resdet.boxes.geometry import as_wide, pairwise_iou


@torch.no_grad()
def vote(kept: Tensor, labels: Tensor, boxes: Tensor, scores: Tensor, iou: float = 0.5) -> Tensor:
    """The score-weighted mean of the boxes of the same class with an IoU of at least `iou` to each kept box: [D, 4].

    `kept` [D, 4] of classes `labels` int64 [D] survived NMS; `boxes` [R, K, 4] and `scores` [R, K] are all from before
    it, the kept ones among them. A box that no positive score votes for stays as it is.
    """
    boxes, scores = as_wide(boxes), as_wide(scores)
    voters = boxes[:, labels].transpose(0, 1)  # [D, R, 4]
    weights = scores[:, labels].T  # [D, R]
    agree = pairwise_iou(kept[:, None], voters)[:, 0] >= iou  # NaN agrees with nothing
    weights = torch.where(agree & weights.isfinite(), weights, 0.0)
    total = weights.sum(1, keepdim=True)
    mean = (weights[..., None] * voters.nan_to_num()).sum(1) / total.clamp(min=torch.finfo(total.dtype).tiny)
    return torch.where(total > 0, mean, as_wide(kept))
