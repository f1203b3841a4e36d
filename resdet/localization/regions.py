"""What the R-CNN stage learns from (App. C): regions drawn over ALL images, cropped and warped to one size.

    labels, objects = label_regions(proposals, valid, boxes, mask)       # once, of the cached proposals [I, R, 4]
    pools = RegionPools(labels)
    chosen = sample_regions(pools, draw_seeds(seed, step, torch.arange(256)))
    crops = warp_regions(image, regions, size=224)                       # in a notebook: [3, H, W] -> [B, 3, 224, 224]

RoI-centric: an image of this set has one dominant object and proposals that overlap, so that many regions of one image
would be almost the same sample. Here every region of a batch is drawn from the regions of all images.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from resdet.boxes.geometry import pairwise_iou
from resdet.boxes.targets import IGNORED, NEGATIVE, POSITIVE, Matches, match
from resdet.draws import random_keys
from resdet.nets.preprocess import IMAGENET_MEAN

STREAM = 4  # of random_keys: the R-CNN stage's regions


def label_regions(proposals: Tensor, valid: Tensor, boxes: Tensor, mask: Tensor, positive_iou: float = 0.5) -> Matches:
    """Which proposals show an object of their image's class: labels int8 [I, R] and objects int64 [I, R].

    `proposals` [I, R, 4] and `valid` bool [I, R] as cached; `boxes` [I, G, 4] and `mask` bool [I, G] the true ones, in
    the same pixels. Positive from `positive_iou` on, negative below; slots that are not valid and images without boxes
    are ignored. True boxes are not added (choice: the paper extracts proposals alone).
    """
    labels, objects = match(pairwise_iou(boxes, proposals), mask, positive_iou, positive_iou, low_quality=False)
    return Matches(labels.masked_fill(~valid | ~mask.any(1, keepdim=True), IGNORED), objects)


class ChosenRegions(NamedTuple):
    """The regions of a batch; `image` and `region` are 0 in a slot that is not valid."""

    image: Tensor  # int64 [B]
    region: Tensor  # int64 [B], which of the image's proposals
    positive: Tensor  # bool [B]
    valid: Tensor  # bool [B], False where all images together have no region of the wanted kind


class RegionPools:
    """All positive and all negative regions of a set, countable without a list of them: a sum for each image.

    Args:
        labels: int8 [I, R] of `label_regions`; kept, 109 MB for ImageNet's 544,546 images with boxes.
    """

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels
        self._ends = {kind: (labels == kind).sum(1).cumsum(0) for kind in (POSITIVE, NEGATIVE)}

    def count(self, kind: int) -> int:
        """Regions with this label."""
        ends = self._ends[kind]
        return int(ends[-1]) if len(ends) else 0

    def find(self, ranks: Tensor, kind: int) -> tuple[Tensor, Tensor]:
        """The image and region of number `ranks` int64 [B] among those with label `kind`: int64 [B], [B]."""
        ends = self._ends[kind]
        image = torch.searchsorted(ends, ranks, right=True)
        is_kind = self.labels[image] == kind  # [B, R]
        rank = ranks - (ends[image] - is_kind.sum(1))
        return image, (is_kind.cumsum(1) > rank[:, None]).int().argmax(1)


def sample_regions(pools: RegionPools, seeds: Tensor, positive_fraction: float = 0.25) -> ChosenRegions:
    """One region for each of `seeds` int64 [B], a function of that seed and its slot; with replacement.

    Every region of a label is as likely as any other. Positive slots are spread evenly over the batch, so that each
    part of it, of a process or of a pass, has the same share.
    """
    slots = torch.arange(len(seeds))
    positive = ((slots + 1) * positive_fraction).floor() > (slots * positive_fraction).floor()
    # A key has 24 bits, ImageNet a hundred million regions: two keys make one number.
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


def with_context(regions: Tensor, context: float) -> Tensor:
    """Regions [..., 4] enlarged so that, warped to 224, they have `context` pixels around (R-CNN, App. A).

    Other sizes have as much in proportion. A side under one pixel is taken as one.
    """
    middle, half = (regions[..., :2] + regions[..., 2:]) / 2, (regions[..., 2:] - regions[..., :2]) / 2
    half = half.clamp(min=0.5) * (224 / (224 - 2 * context))
    return torch.cat([middle - half, middle + half], -1)


def warp_regions(image: Tensor, regions: Tensor, size: int, context: float = 0.0, chunk: int = 32) -> Tensor:
    """Regions [B, 4] of an image uint8 [3, H, W] stretched to squares: uint8 [B, 3, size, size].

    Bilinear, over more pixels where a region is shrunk (as PIL's), by two small matrix products a region, on any
    device: for a notebook. The commands cut their crops with data/localization/crops.warped_crop, in training and at
    test. Beyond the image is the mean colour, as in R-CNN; `context` as in `with_context`.
    """
    height, width = image.shape[-2:]
    mean = torch.tensor(IMAGENET_MEAN, device=image.device)[:, None, None]
    crops = []
    with torch.autocast(image.device.type, enabled=False):  # bf16's eight bits are no pixel's
        pixels = image.float()
        for part in with_context(regions.float(), context).split(chunk):
            x1, y1, x2, y2 = part.unbind(-1)
            rows, above = _weights(y1, y2, height, size)
            columns, beside = _weights(x1, x2, width, size)
            warped = rows[:, None] @ (pixels @ columns[:, None].mT)  # [b, 3, size, size]
            outside = above[:, None, :, None] | beside[:, None, None, :]
            crops.append(torch.where(outside, mean, warped).round().clamp(0, 255).to(torch.uint8))
    return torch.cat(crops) if crops else image.new_zeros(0, len(image), size, size)


def _weights(low: Tensor, high: Tensor, extent: int, size: int) -> tuple[Tensor, Tensor]:
    """How much of each of an axis' `extent` pixels each of `size` new ones has, and which lie outside.

    float32 [B, size, extent] whose rows sum to 1, bool [B, size].
    """
    step = ((high - low) / size)[:, None, None]
    centre = low[:, None, None] + (torch.arange(size, device=low.device)[:, None] + 0.5) * step  # [B, size, 1]
    outside = ((centre < 0) | (centre > extent)).squeeze(-1)
    centre = centre.clamp(0.5, extent - 0.5)
    pixel = torch.arange(extent, device=low.device) + 0.5
    weights = (1 - (pixel - centre).abs() / step.clamp(min=1)).clamp(min=0)
    return weights / weights.sum(-1, keepdim=True), outside
