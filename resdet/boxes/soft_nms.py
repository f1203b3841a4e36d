"""Soft-NMS (Bodla et al. 2017): a box that overlaps one of higher score has its score reduced instead of being removed.

boxes, scores, labels = multiclass_soft_nms(boxes, scores, SoftNMS("gaussian", sigma=0.5), score_floor=0.05)

Not in the ResNet paper. All classes are processed together, in `max_detections` steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from resdet.boxes.geometry import at_least_float32, pairwise_iou
from resdet.errors import UserError

Decay = Literal["linear", "gaussian"]


@dataclass(frozen=True)
class SoftNMS:
    """How scores are reduced; the defaults are Bodla et al.'s.

    Args:
        decay: "linear" multiplies scores by 1 - IoU where the IoU is above `iou` (their eq. 2), "gaussian" by
            exp(-IoU^2 / sigma) everywhere (their eq. 3).
        iou: threshold of the linear decay.
        sigma: width of the gaussian decay.

    Raises:
        UserError: another `decay`.
    """

    decay: Decay = "gaussian"
    iou: float = 0.3
    sigma: float = 0.5

    def __post_init__(self) -> None:
        if self.decay not in get_args(Decay):
            raise UserError(f"decay is {self.decay!r}: Soft-NMS has {' and '.join(get_args(Decay))}")

    def factor(self, ious: Tensor) -> Tensor:
        """Score factors in 0..1 for boxes whose IoU with a box of higher score is `ious`, of any shape."""
        if self.decay == "linear":
            return torch.where(ious > self.iou, 1 - ious, 1.0)
        return torch.exp(-(ious**2) / self.sigma)


@torch.no_grad()
def multiclass_soft_nms(
    boxes: Tensor, scores: Tensor, soft: SoftNMS, score_floor: float = 0.05, max_detections: int = 100
) -> tuple[Tensor, Tensor, Tensor]:
    """The detections of one image by Soft-NMS within each class.

    In each step every class takes its best remaining box and reduces the scores of its other boxes.

    Args:
        boxes: [R, K, 4], one box per region and class.
        scores: [R, K], without the background.
        soft: how scores are reduced.
        score_floor: boxes whose score is, or falls to, at most this are dropped.
        max_detections: detections kept per image.

    Returns:
        (boxes [D, 4], reduced scores [D], labels int64 [D]) by descending score.
    """
    boxes, scores = at_least_float32(boxes).transpose(0, 1), at_least_float32(scores).T  # [K, R, 4], [K, R]
    sound = boxes.isfinite().all(2) & scores.isfinite()
    left = torch.where(sound & (scores > score_floor), scores, -math.inf)
    rows = torch.arange(len(boxes), device=boxes.device)
    taken, order = [], []
    for _ in range(min(max_detections, left.shape[1])):
        best, index = left.max(1)  # [K]
        taken.append(best)
        order.append(index)
        ious = pairwise_iou(boxes[rows, index][:, None], boxes)[:, 0]  # [K, R]
        # A class without boxes left takes some box with score -inf; all its scores stay -inf.
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
