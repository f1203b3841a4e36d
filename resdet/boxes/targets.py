"""Training targets: match anchors or regions with the ground truth, and sample some of them for the loss.

    ious = pairwise_iou(boxes, anchors)                                        # [N, G, A]
    labels, index = match(ious, valid, high=0.7, low=0.3, low_quality=True)    # [N, A]
    labels = ignore_crowds(labels, pairwise_coverage(anchors, crowds).mT, crowd_valid)
    chosen = sample(labels, random_keys(seeds, labels.shape[1], stream=0), num=256, positive_fraction=0.5)

Shapes are fixed and nothing waits for the device. "Anchor" stands for any candidate box: the RPN's anchors, the head's
regions. Random keys come from resdet/draws.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


class Matches(NamedTuple):
    """The label of every anchor, and the ground-truth box that it is matched with."""

    labels: Tensor  # int8 [N, A]: 1 positive, 0 negative, -1 ignored
    gt_index: Tensor  # int64 [N, A], the valid ground-truth box of highest IoU; 0 where there is none


@dataclass(frozen=True)
class SampledBoxes:
    """The same number S of sampled anchors for each image: positives first, then negatives, then padding."""

    index: Tensor  # int64 [N, S], the anchor, 0..A-1; any of them in padding
    positive: Tensor  # bool [N, S]
    valid: Tensor  # bool [N, S], False in padding


def match(ious: Tensor, valid: Tensor, high: float, low: float, low_quality: bool) -> Matches:
    """Label anchors by their IoU with the ground truth: positive from `high` on, negative below `low`, ignored between.

    Args:
        ious: [N, G, A], of the ground-truth boxes with the anchors.
        valid: bool [N, G]; False in padding, which matches nothing.
        high, low: IoU thresholds.
        low_quality: also label positive the anchors with the highest IoU of some ground-truth box, if it is above 0
            (Faster R-CNN, section 3.1.2). Such an anchor is still matched with the box of its own highest IoU, as in
            detectron2.

    Returns:
        labels int8 [N, A] and gt_index int64 [N, A].
    """
    N, G, A = ious.shape
    if G == 0:
        return Matches(ious.new_zeros(N, A, dtype=torch.int8), ious.new_zeros(N, A, dtype=torch.int64))
    ious = torch.where(valid[:, :, None], ious, -1.0)
    best, index = ious.max(dim=1)
    labels = torch.where(best >= high, POSITIVE, torch.where(best < low, NEGATIVE, IGNORED))
    if low_quality:
        best_of_object = ious.amax(dim=2, keepdim=True)
        labels = torch.where(((ious == best_of_object) & (ious > 0)).any(dim=1), POSITIVE, labels)
    return Matches(labels.to(torch.int8), index)


def ignore_crowds(labels: Tensor, coverage: Tensor, crowd_valid: Tensor, threshold: float = 0.5) -> Tensor:
    """Set negatives to ignored where more than `threshold` of their area lies in one crowd region.

    Args:
        labels: int8 [N, A].
        coverage: [N, Gc, A], the share of each anchor's area inside each crowd region (`pairwise_coverage`).
        crowd_valid: bool [N, Gc], False in padding.
        threshold: share of the area.

    Returns:
        The changed labels, int8 [N, A].
    """
    covered = ((coverage > threshold) & crowd_valid[:, :, None]).any(dim=1)
    return torch.where(covered & (labels == NEGATIVE), IGNORED, labels).to(labels.dtype)


def sample(labels: Tensor, keys: Tensor, num: int, positive_fraction: float) -> SampledBoxes:
    """Sample at most ``num * positive_fraction`` positives per image, and fill the other slots with negatives.

    Args:
        labels: int8 [N, A]; ignored anchors are never sampled.
        keys: float32 [N, A] in [0, 1), random; the largest keys are sampled.
        num: slots per image; ``num >= A`` with ``positive_fraction=1`` takes all anchors that are not ignored.
        positive_fraction: largest share of positives.

    Returns:
        S = min(num, A) slots per image.
    """
    A = labels.shape[1]
    slots = min(num, A)
    positive_keys, positives = torch.where(labels == POSITIVE, keys, -1.0).topk(min(int(num * positive_fraction), A))
    negative_keys, negatives = torch.where(labels == NEGATIVE, keys, -1.0).topk(slots)
    num_positive = (positive_keys >= 0).sum(dim=1, keepdim=True)  # [N, 1]
    slot = torch.arange(slots, device=labels.device)
    positive = slot < num_positive  # [N, S]
    # Slot s holds positive number s, and after the last one negative number s - num_positive.
    rank = (slot - num_positive).clamp(min=0)
    index = negatives.gather(1, rank)
    if positives.shape[1]:
        index = torch.where(positive, positives.gather(1, _ranks(slot, positives)), index)
    return SampledBoxes(index, positive, positive | (negative_keys.gather(1, rank) >= 0))


def repeat_positives(chosen: SampledBoxes, share: int) -> SampledBoxes:
    """Repeat the positives of each image until they fill its first `share` slots.

    Every image with a positive then has `share` of them, so that small objects, which match few anchors, weigh as much
    as large ones. Images without positives are unchanged; the negatives in the later slots stay.
    """
    count = chosen.positive.sum(1, keepdim=True)  # [N, 1]
    slot = torch.arange(chosen.index.shape[1], device=chosen.index.device)
    filled = (slot < share) & (count > 0)  # [N, S]
    index = torch.where(filled, chosen.index.gather(1, slot % count.clamp(min=1)), chosen.index)
    return SampledBoxes(index, chosen.positive | filled, chosen.valid | filled)


def _ranks(slot: Tensor, chosen: Tensor) -> Tensor:
    return slot.clamp(max=chosen.shape[1] - 1).expand(len(chosen), -1)
