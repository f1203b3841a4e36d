"""Soft-NMS (Bodla et al. 2017): a box that overlaps a better one loses score instead of being dropped.

boxes, scores, labels = multiclass_soft_nms(boxes, scores, SoftNMS("gaussian", sigma=0.5), score_floor=0.05)

Beyond the paper. All classes go together, one step for each detection that an image may have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from resdet.boxes.geometry import as_wide, pairwise_iou
from resdet.errors import UserError

Decay = Literal["linear", "gaussian"]


@dataclass(frozen=True)
class SoftNMS:
    """How scores fall.

    Args:
        decay: "linear" multiplies by 1 - IoU where the IoU is above `iou` (eq. 2), "gaussian" by exp(-IoU^2 / sigma)
            everywhere (eq. 3).
        iou: .3 in the paper's linear form.
        sigma: .5 in the paper.
    """

    decay: Decay = "gaussian"
    iou: float = 0.3
    sigma: float = 0.5

    def __post_init__(self) -> None:
        if self.decay not in get_args(Decay):
            raise UserError(f"decay is {self.decay!r}: Soft-NMS has {' and '.join(get_args(Decay))}")

    def factor(self, ious: Tensor) -> Tensor:
        """What is left of a score beside a better box."""
        if self.decay == "linear":
            return torch.where(ious > self.iou, 1 - ious, 1.0)
        return torch.exp(-(ious**2) / self.sigma)


@torch.no_grad()
def multiclass_soft_nms(
    boxes: Tensor, scores: Tensor, soft: SoftNMS, score_floor: float = 0.05, max_detections: int = 100
) -> tuple[Tensor, Tensor, Tensor]:
    """As `nms.multiclass_nms`: (boxes [D, 4], scores [D], labels int64 [D]) by falling score, the scores decayed.

    `boxes` [R, K, 4] a box a class, `scores` [R, K] without the background. A class's best remaining box is taken and
    the others decay, `max_detections` times; scores at or below the floor, before or after, are dropped.
    """
    boxes, scores = as_wide(boxes).transpose(0, 1), as_wide(scores).T  # [K, R, 4], [K, R]
    sound = boxes.isfinite().all(2) & scores.isfinite()
    left = torch.where(sound & (scores > score_floor), scores, -math.inf)
    rows = torch.arange(len(boxes), device=boxes.device)
    taken, order = [], []
    for _ in range(min(max_detections, left.shape[1])):
        best, index = left.max(1)  # [K]
        taken.append(best)
        order.append(index)
        ious = pairwise_iou(boxes[rows, index][:, None], boxes)[:, 0]  # [K, R]
        # max() of a class without boxes is -inf, and any box: its scores are all -inf and stay so.
        left = left * soft.factor(ious)
        left = torch.where(left > score_floor, left, -math.inf)
        left[rows, index] = -math.inf
    if not taken:
        return boxes.new_zeros(0, 4), scores.new_zeros(0), rows.new_zeros(0)
    found, index = torch.stack(taken, 1), torch.stack(order, 1)  # [K, steps]
    labels, step = (found > score_floor).nonzero(as_tuple=True)
    kept = found[labels, step].argsort(descending=True, stable=True)[:max_detections]
    labels, step = labels[kept], step[kept]
    return boxes[labels, index[labels, step]], found[labels, step], labels
