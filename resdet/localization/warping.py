"""Warped crops of regions, the input of the R-CNN stage (App. C).

crops = warp_regions(image, regions, size=224, context=16)           # [3, H, W], [B, 4] -> [B, 3, 224, 224]
"""

from __future__ import annotations

import torch
from torch import Tensor

from resdet.nets.preprocess import IMAGENET_MEAN


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
