"""RoI-centric sampling of regions (App. C): each region of a batch is drawn from the regions of ALL images.

    labels, objects, _ = label_regions(proposals, valid, boxes, mask)    # once, of the cached proposals [I, R, 4]
    pools = RegionPools(labels)
    chosen = sample_regions(pools, draw_seeds(seed, step, torch.arange(256)))

Images of ImageNet's localization set have one dominant object and proposals that overlap it, so that the regions of one
image are strongly correlated: a batch from a few images would hold many near-duplicates.

Shapes: I images of the data set, R proposals and G ground-truth boxes per image, padded; B regions in a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from resdet.boxes.targets import IGNORED, NEGATIVE, POSITIVE, Matches, match_boxes
from resdet.draws import random_keys

STREAM = 4  # random_keys: which regions are sampled


def label_regions(proposals: Tensor, valid: Tensor, boxes: Tensor, mask: Tensor, positive_iou: float = 0.5) -> Matches:
    """Match proposals to the ground truth of their image's class.

    Padding and images without boxes are ignored. Ground-truth boxes are not added to the proposals (choice: the paper
    mentions only proposals).

    Args:
        proposals: [I, R, 4].
        valid: bool [I, R], False in padding.
        boxes: ground truth [I, G, 4], in the same pixels.
        mask: bool [I, G], False in padding.
        positive_iou: a proposal with at least this IoU to an object is positive, others are negative.

    Returns:
        Labels, the index of the best object, and the IoU with it, [I, R] each.
    """
    found = match_boxes(boxes, proposals, mask, positive_iou, positive_iou, low_quality=False)
    return found._replace(labels=found.labels.masked_fill(~valid | ~mask.any(1, keepdim=True), IGNORED))


class ChosenRegions(NamedTuple):
    """The regions of a batch; `image` and `region` are 0 in a slot that is not valid."""

    image: Tensor  # int64 [B], index in the data set
    region: Tensor  # int64 [B], index among the image's proposals
    positive: Tensor  # bool [B]
    valid: Tensor  # bool [B], False where the whole data set has no region of the wanted label


class RegionPools:
    """All positive and all negative regions of a data set, addressed by rank through cumulative counts per image.

    Args:
        labels: int8 [I, R] of `label_regions`; 109 MB for ImageNet's 544,546 images with boxes.
    """

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels
        self._ends = {kind: (labels == kind).sum(1).cumsum(0) for kind in (POSITIVE, NEGATIVE)}

    def count(self, kind: int) -> int:
        """Number of regions with label `kind`, POSITIVE or NEGATIVE."""
        ends = self._ends[kind]
        return int(ends[-1]) if len(ends) else 0

    def find(self, ranks: Tensor, kind: int) -> tuple[Tensor, Tensor]:
        """Image and region indices, int64 [B] each, of the regions with ranks int64 [B] among those of label `kind`."""
        ends = self._ends[kind]
        image = torch.searchsorted(ends, ranks, right=True)
        is_kind = self.labels[image] == kind  # [B, R]
        rank = ranks - (ends[image] - is_kind.sum(1))
        return image, (is_kind.cumsum(1) > rank[:, None]).int().argmax(1)


def sample_regions(pools: RegionPools, seeds: Tensor, positive_fraction: float = 0.25) -> ChosenRegions:
    """Draw one region for each of `seeds` int64 [B], uniformly among those of its label, with replacement.

    A draw is a function of its seed and its slot. Positive slots are spread evenly over the batch, so that every share
    of it (a process, an accumulated pass) has the same fraction of positives.
    """
    slots = torch.arange(len(seeds))
    positive = ((slots + 1) * positive_fraction).floor() > (slots * positive_fraction).floor()
    # A key has 24 bits, but ImageNet has 10^8 regions: two keys are combined into one number.
    high, low = random_keys(seeds, 2, STREAM).double().unbind(1)
    uniform = high + low * 2.0**-24
    image, region, valid = torch.zeros_like(slots), torch.zeros_like(slots), torch.zeros_like(positive)
    for kind, wanted in ((POSITIVE, positive), (NEGATIVE, ~positive)):
        count = pools.count(kind)
        if count == 0 or not wanted.any():
            continue
        image[wanted], region[wanted] = pools.find((uniform[wanted] * count).long(), kind)
        valid |= wanted
    return ChosenRegions(image, region, positive, valid)
