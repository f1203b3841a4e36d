"""RoI-centric sampling for the R-CNN stage (App. C): each region of a batch is drawn from the regions of ALL images.

    labels, objects, _ = label_regions(proposals, valid, boxes, mask)    # once, of the cached proposals [I, R, 4]
    pools = RegionPools(labels)
    chosen = sample_regions(pools, draw_seeds(seed, step, torch.arange(256)))
    crops = warp_regions(image, regions, size=224)                       # [3, H, W] -> [B, 3, 224, 224]

Images of this data set have one dominant object and proposals that overlap it, so that the regions of one image are
strongly correlated; image-centric batches would hold almost the same sample many times.

Shapes: I images of the data set, R proposals and G ground-truth boxes per image, padded; B regions in a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from resdet.boxes.targets import IGNORED, NEGATIVE, POSITIVE, Matches, match_boxes
from resdet.draws import random_keys
from resdet.nets.preprocess import IMAGENET_MEAN

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


def with_context(regions: Tensor, context: float) -> Tensor:
    """Enlarge regions [..., 4] so that a 224-pixel crop has `context` pixels around them on each side (R-CNN, App. A).

    Crops of other sizes have context in proportion. A side below one pixel counts as one pixel.
    """
    middle, half = (regions[..., :2] + regions[..., 2:]) / 2, (regions[..., 2:] - regions[..., :2]) / 2
    half = half.clamp(min=0.5) * (224 / (224 - 2 * context))
    return torch.cat([middle - half, middle + half], -1)


def warp_regions(image: Tensor, regions: Tensor, size: int, context: float = 0.0, chunk: int = 32) -> Tensor:
    """Warp regions of one image to squares: uint8 [B, 3, size, size].

    Bilinear with antialiasing (as PIL's), by two small matrix products per region, on any device. Training and
    evaluation use the faster, slightly different data/localization/crops.warped_crop. What lies outside the image has
    the mean colour, as in R-CNN.

    Args:
        image: uint8 [3, H, W].
        regions: [B, 4], in pixels of the image.
        size: side of the crops in pixels.
        context: see `with_context`.
        chunk: regions computed at once, which bounds the memory.
    """
    height, width = image.shape[-2:]
    mean = torch.tensor(IMAGENET_MEAN, device=image.device)[:, None, None]
    crops = []
    with torch.autocast(image.device.type, enabled=False):  # bf16 cannot represent all pixel values
        pixels = image.float()
        for part in torch.split(with_context(regions.float(), context), chunk):
            x1, y1, x2, y2 = part.unbind(-1)
            rows, outside_y = _weights(y1, y2, height, size)
            columns, outside_x = _weights(x1, x2, width, size)
            warped = rows[:, None] @ (pixels @ columns[:, None].mT)  # [b, 3, size, size]
            outside = outside_y[:, None, :, None] | outside_x[:, None, None, :]
            crops.append(torch.where(outside, mean, warped).round().clamp(0, 255).to(torch.uint8))
    return torch.cat(crops) if crops else image.new_zeros(0, len(image), size, size)


def _weights(low: Tensor, high: Tensor, extent: int, size: int) -> tuple[Tensor, Tensor]:
    """Resampling weights of one axis from `extent` pixels to `size`, for the ranges `low`..`high`, each [B].

    Returns:
        weights float32 [B, size, extent] whose rows sum to 1, and bool [B, size], True outside the image.
    """
    step = ((high - low) / size)[:, None, None]
    centre = low[:, None, None] + (torch.arange(size, device=low.device)[:, None] + 0.5) * step  # [B, size, 1]
    outside = ((centre < 0) | (centre > extent)).squeeze(-1)
    centre = centre.clamp(0.5, extent - 0.5)
    pixel = torch.arange(extent, device=low.device) + 0.5
    weights = (1 - (pixel - centre).abs() / step.clamp(min=1)).clamp(min=0)
    return weights / weights.sum(-1, keepdim=True), outside
