"""Training targets: match anchors or regions with the ground truth, and sample some of them for the loss.

    labels, index, ious = match_boxes(boxes, anchors, valid, high=0.7, low=0.3, low_quality=True)    # [N, A]
    labels = ignore_crowds(labels, anchors, crowds, crowd_valid)
    chosen = sample(labels, random_keys(seeds, labels.shape[1], stream=0), num=256, positive_fraction=0.5)

Shapes are fixed and nothing waits for the device. "Anchor" stands for any candidate box: the RPN's anchors, the head's
regions. Random keys come from resdet/draws.py. No matrix [N, G, A] is held: a few ground-truth boxes at a time are
compared with all anchors, so that memory does not grow with G.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from resdet.boxes.geometry import pairwise_coverage, pairwise_iou, row_parts

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


class Matches(NamedTuple):
    """The label of every anchor, and the ground-truth box that it is matched with."""

    labels: Tensor  # int8 [N, A]: 1 positive, 0 negative, -1 ignored
    gt_index: Tensor  # int64 [N, A], the valid ground-truth box of highest IoU, of equal ones the first; 0 without any
    iou: Tensor  # float32 [N, A], that IoU; -1 without any


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
    """
    N, G, A = ious.shape
    parts = row_parts(G, N * A, ious.device)
    return _match_parts(
        ((rows, ious[:, rows]) for rows in parts), ious.new_full((N, A), -1.0), valid, (high, low), low_quality
    )


def match_boxes(
    boxes: Tensor,
    anchors: Tensor,
    valid: Tensor,
    high: float,
    low: float,
    low_quality: bool,
    usable: Tensor | None = None,
) -> Matches:
    """`match` by the IoU of boxes, whose matrix [N, G, A] is never held.

    Args:
        boxes: ground truth, [N, G, 4].
        anchors: [N or 1, A, 4] or [A, 4], in the same pixels.
        valid, high, low, low_quality: see `match`.
        usable: bool [N, A]; the others match nothing, and cannot be an object's best anchor. None: all are usable.
    """
    shape = len(boxes), anchors.shape[-2]
    if usable is not None:
        anchors = torch.where(usable[..., None], anchors, 0.0)  # without area: an IoU of 0
    parts = (
        (rows, pairwise_iou(boxes[:, rows], anchors))
        for rows in row_parts(boxes.shape[1], shape[0] * shape[1], boxes.device)
    )
    found = _match_parts(parts, torch.full(shape, -1.0, device=boxes.device), valid, (high, low), low_quality)
    if usable is None:
        return found
    return Matches(found.labels, found.gt_index.masked_fill(~usable, 0), found.iou.masked_fill(~usable, -1.0))


def ignore_crowds(
    labels: Tensor, anchors: Tensor, crowds: Tensor, crowd_valid: Tensor, threshold: float = 0.5
) -> Tensor:
    """Set negatives to ignored where more than `threshold` of their area lies in one crowd region.

    Args:
        labels: int8 [N, A].
        anchors: [N, A, 4].
        crowds: [N, Gc, 4], in the same pixels.
        crowd_valid: bool [N, Gc], False in padding.
        threshold: share of the area.

    Returns:
        The changed labels, int8 [N, A].
    """
    covered = torch.zeros_like(labels, dtype=torch.bool)
    for rows in row_parts(crowds.shape[1], labels.numel(), labels.device):
        inside = pairwise_coverage(crowds[:, rows], anchors) > threshold
        covered |= (inside & crowd_valid[:, rows, None]).any(dim=1)
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


def _match_parts(
    parts: Iterable[tuple[slice, Tensor]],
    best: Tensor,
    valid: Tensor,
    thresholds: tuple[float, float],
    low_quality: bool,
) -> Matches:
    """Match the ground-truth boxes, a few at a time.

    Args:
        parts: their indices, and their IoU with all anchors, [N, g, A].
        best: -1, float32 [N, A].
        valid, low_quality: see `match`.
        thresholds: high and low.
    """
    high, low = thresholds
    index = torch.zeros_like(best, dtype=torch.int64)
    best_of_object = torch.zeros_like(best, dtype=torch.bool)
    for rows, ious in parts:
        ious = torch.where(valid[:, rows, None], ious, -1.0)
        highest, own = ious.max(dim=1)
        if rows.start:
            better = highest > best  # of equal ones the first stays
            own = torch.where(better, own + rows.start, index)
            highest = torch.maximum(highest, best)
        best, index = highest, own
        if low_quality:
            top = ious.amax(dim=2, keepdim=True)
            best_of_object |= (ious == torch.where(top > 0, top, torch.inf)).any(dim=1)
    labels = torch.where(best >= high, POSITIVE, torch.where(best < low, NEGATIVE, IGNORED))
    return Matches(torch.where(best_of_object, POSITIVE, labels).to(torch.int8), index, best)


def _ranks(slot: Tensor, chosen: Tensor) -> Tensor:
    return slot.clamp(max=chosen.shape[1] - 1).expand(len(chosen), -1)
