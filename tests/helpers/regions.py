"""Smooth random images and random boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def photo(height: int = 60, width: int = 90, seed: int = 0) -> Tensor:
    """A smooth random image [3, height, width]: neighbouring pixels are similar, as in a photo."""
    coarse = torch.rand(1, 3, 6, 9, generator=torch.Generator().manual_seed(seed)) * 255
    return F.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(0, 255).to(torch.uint8)


def random_boxes(count: int, height: int = 60, width: int = 90, seed: int = 0) -> Tensor:
    """Boxes [count, 4] of at least ten pixels, some of them across the border."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([width, height]) * 0.6
    side = 10 + torch.rand(count, 2, generator=generator) * torch.tensor([width, height]) * 0.3
    return torch.cat([corner, corner + side], 1)
