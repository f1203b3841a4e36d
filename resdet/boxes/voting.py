"""Box voting (Gidaris and Komodakis 2015, Sect. 4; App. B): replace a kept box by the mean of the boxes around it.

boxes = vote(kept, labels, all_boxes, all_scores, iou=0.5)
"""

from __future__ import annotations

import torch
from torch import Tensor

from resdet.boxes.geometry import at_least_float32, pairwise_iou


@torch.no_grad()
def vote(kept: Tensor, labels: Tensor, boxes: Tensor, scores: Tensor, iou: float = 0.5) -> Tensor:
    """Replace each kept box by the score-weighted mean of all boxes of its class with IoU >= `iou` to it.

    Args:
        kept: [D, 4], boxes after NMS.
        labels: int64 [D], their classes.
        boxes: [R, K, 4], all boxes before NMS, the kept ones included.
        scores: [R, K].
        iou: 0.5 in Gidaris and Komodakis.

    Returns:
        [D, 4]. A box whose voters all have score 0 is returned unchanged.
    """
    boxes, scores = at_least_float32(boxes), at_least_float32(scores)
    voters = boxes[:, labels].transpose(0, 1)  # [D, R, 4]
    weights = scores[:, labels].T  # [D, R]
    agree = pairwise_iou(kept[:, None], voters)[:, 0] >= iou  # comparisons with NaN are False
    weights = torch.where(agree & weights.isfinite(), weights, 0.0)
    total = weights.sum(1, keepdim=True)
    mean = (weights[..., None] * voters.nan_to_num()).sum(1) / total.clamp(min=torch.finfo(total.dtype).tiny)
    return torch.where(total > 0, mean, at_least_float32(kept))
