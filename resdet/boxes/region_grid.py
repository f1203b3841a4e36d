"""Shared by RoIAlign and RoIPool: regions in cells of the feature map, and the limits of both.

Bins: a pooling divides each region into a grid of ``bins`` x ``bins`` and gives one value per bin and channel.

Even bins: with ``even=True`` only the bins 0, 2, 4, ... of each axis are computed; the result equals
``full[..., ::2, ::2]``. This is enough for a head whose first convolutions are 1x1 with stride 2, as in the paper's
bottlenecks: they read no other bins.

Long bins: shapes must not depend on the data (the host would have to wait for the GPU), so the number of samples or
cells in a bin is bounded. Both poolings equal torchvision's for every region that is no larger than the map, and for
others as long as their bins are at most `LONGEST_BIN` cells long (112 cells of a region for 14 bins). In longer bins
RoIAlign takes fewer samples and RoIPool looks at the first cells only.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

LONGEST_BIN = 8  # cells
FARTHEST = 1e6  # pixels; coordinates are clamped to +-this, so that the arithmetic stays finite; NaN counts as 0
CHUNK_BYTES = 64 * 2**20  # regions are processed in chunks whose temporary tensors are at most this large


def corners_in_cells(features: Tensor, regions: Tensor, stride: float) -> Tensor:
    """The corners of the regions in cells of the map, without gradient.

    Args:
        features: [N, C, h, w]; only its dtype is used: float64 gives float64 corners, all others float32.
        regions: [N, R, 4], x1, y1, x2, y2 in pixels of the network's input.
        stride: input pixels per cell.

    Returns:
        [2, N * R, 2]: (x1, y1) and (x2, y2) of each region.
    """
    dtype = torch.promote_types(features.dtype, torch.float32)
    pixels = regions.detach().reshape(-1, 4).to(dtype).nan_to_num(nan=0.0).clamp(-FARTHEST, FARTHEST)
    return (pixels * (1 / stride)).view(-1, 2, 2).transpose(0, 1)


def image_extents(features: Tensor, regions: Tensor, cells: Tensor | None) -> tuple[Tensor, Tensor]:
    """The height [N * R] and width [N * R], in cells, of the image that each region lies in.

    `cells` int64 [N, 2] is the (height, width) of each image inside the padded map; None: the whole map.
    """
    N, _, height, width = features.shape
    if cells is None:  # filled on the device: a copy of Python numbers would make the host wait
        full = partial(torch.full, (N * regions.shape[1],), device=features.device)
        return full(height), full(width)
    heights, widths = cells.repeat_interleave(regions.shape[1], dim=0).unbind(1)
    return heights, widths


def bin_indices(bins: int, even: bool, like: Tensor) -> Tensor:
    """The bins of one axis that are computed, [P]: 0..bins-1, or the even ones; device and dtype of `like`."""
    return torch.arange(0, bins, 2 if even else 1, device=like.device, dtype=like.dtype)
