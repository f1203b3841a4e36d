"""Preprocessing: from uint8 RGB images to the input of conv1, on the device.

Mean and standard deviation are buffers of the net, because they belong to its weights: a net with another net's
preprocessing loses tens of mAP points without an error. Of weights trained on BGR the input channels of conv1 are
reversed when they are read (weights/origins.py), so that everything here is RGB.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# RGB on the scale 0..255. torchvision gives them on 0..1: .485 .456 .406 and .229 .224 .225. MSRA's nets use no std.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class Preprocess(nn.Module):
    """``(image - mean) / std``, then zeros in the padding, so that conv1 sees the same border in any batch.

    Args:
        mean: [3], or a mean image [3, H, W] for images of one size (CIFAR-10, Sect. 4.2).
        std: [3].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] | Tensor = IMAGENET_MEAN,
        std: Sequence[float] | Tensor = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean))
        self.register_buffer("std", torch.as_tensor(std))

    def forward(self, images: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Normalize images.

        Args:
            images: uint8 [N, 3, H, W], RGB.
            sizes: int64 [N, 2], the true (height, width) of each image; None if none is padded.

        Returns:
            float32 [N, 3, H, W], channels_last.
        """
        pixels = images.permute(0, 2, 3, 1).contiguous()
        N, H, W, C = pixels.shape
        rows = pixels.view(N, H, W * C)  # long rows are faster than rows of three channels
        mean = self.mean.repeat(W) if self.mean.dim() == 1 else self.mean.permute(1, 2, 0).reshape(H, W * C)
        rows = (rows - mean).div_(self.std.repeat(W))
        if sizes is not None:
            rows.mul_(inside(sizes, H, W)[:, 0].repeat_interleave(C, -1))
        return rows.view(N, H, W, C).permute(0, 3, 1, 2)


def inside(sizes: Tensor, height: int, width: int) -> Tensor:
    """The cells of a map that belong to the image and not to its padding.

    Args:
        sizes: int64 [N, 2], the (height, width) of each image in cells.
        height, width: of the map.

    Returns:
        bool [N, 1, height, width].
    """
    rows = torch.arange(height, device=sizes.device) < sizes[:, 0, None]  # [N, height]
    columns = torch.arange(width, device=sizes.device) < sizes[:, 1, None]  # [N, width]
    return (rows[:, :, None] & columns[:, None, :])[:, None]
