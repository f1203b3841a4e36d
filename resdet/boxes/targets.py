"""Which boxes learn what: matching to the ground truth, and sampling, with fixed shapes and no host sync.

    ious = pairwise_iou(boxes, anchors)                                        # [N, G, A]
    labels, index = match(ious, valid, high=0.7, low=0.3, low_quality=True)    # [N, A]
    labels = ignore_crowds(labels, pairwise_coverage(anchors, crowds).mT, crowd_valid)
    chosen = sample(labels, random_keys(seeds, labels.shape[1], stream=0), num=256, positive_fraction=0.5)

The keys come from resdet/draws.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


class Matches(NamedTuple):
    """What `match` says of every anchor."""

    labels: Tensor  # int8 [N, A]: 1 positive, 0 negative, -1 ignored
    # int64 [N, A]: the valid ground truth of highest IoU; 0 where there is none. Shadows tuple.index.
    index: Tensor  # type: ignore[assignment]


@dataclass(frozen=True)
class Samples:
    """A fixed number of slots an image; positives first, then negatives, then padding."""

    index: Tensor  # int64 [N, S], which anchor; in padding any number in 0..A-1
    positive: Tensor  # bool [N, S]
    valid: Tensor  # bool [N, S], False in padding


def match(ious: Tensor, valid: Tensor, high: float, low: float, low_quality: bool) -> Matches:
    """Labels anchors by IoU: positive from `high` on, negative below `low`, ignored between.

    `ious` [N, G, A], `valid` bool [N, G] (False: padding, which matches nothing). With `low_quality` the anchors that
    reach the best IoU of some ground truth are positive as well, if only it is above 0 (Faster R-CNN, section 3.1.2);
    as in detectron2 the object they learn is still their own best one.
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
    """`labels` [N, A] with every negative that lies in a crowd region by more than `threshold` set to -1.

    `coverage` [N, Gc, A] is the share of each anchor's area inside each crowd region, `crowd_valid` bool [N, Gc].
    """
    covered = ((coverage > threshold) & crowd_valid[:, :, None]).any(dim=1)
    return torch.where(covered & (labels == NEGATIVE), IGNORED, labels).to(labels.dtype)


def sample(labels: Tensor, keys: Tensor, num: int, positive_fraction: float) -> Samples:
    """At most ``num * positive_fraction`` random positives, then random negatives up to S = min(num, A) an image.

    `labels` int8 [N, A] and `keys` float32 [N, A] in [0, 1), the larger the sooner chosen. Ignored anchors are never
    taken; slots left over are padding. ``num >= A`` with ``positive_fraction=1`` takes all that are not ignored.
    """
    A = labels.shape[1]
    slots = min(num, A)
    positive_keys, positives = torch.where(labels == POSITIVE, keys, -1.0).topk(min(int(num * positive_fraction), A))
    negative_keys, negatives = torch.where(labels == NEGATIVE, keys, -1.0).topk(slots)
    num_positive = (positive_keys >= 0).sum(dim=1, keepdim=True)  # [N, 1]
    slot = torch.arange(slots, device=labels.device)
    positive = slot < num_positive  # [N, S]
    # Slot s holds positive s while there are any, then negative s - num_positive.
    rank = (slot - num_positive).clamp(min=0)
    index = negatives.gather(1, rank)
    if positives.shape[1]:
        index = torch.where(positive, positives.gather(1, _ranks(slot, positives)), index)
    return Samples(index, positive, positive | (negative_keys.gather(1, rank) >= 0))


def repeat_positives(chosen: Samples, share: int) -> Samples:
    """`chosen` with its first `share` slots filled by its positives in turn, where it has any but fewer than that.

    Each image's positives are then as many as any other's; the last negatives of `sample` stay.
    """
    count = chosen.positive.sum(1, keepdim=True)  # [N, 1]
    slot = torch.arange(chosen.index.shape[1], device=chosen.index.device)
    filled = (slot < share) & (count > 0)  # [N, S]
    index = torch.where(filled, chosen.index.gather(1, slot % count.clamp(min=1)), chosen.index)
    return Samples(index, chosen.positive | filled, chosen.valid | filled)


def _ranks(slot: Tensor, chosen: Tensor) -> Tensor:
    return slot.clamp(max=chosen.shape[1] - 1).expand(len(chosen), -1)
