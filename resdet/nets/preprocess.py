"""From uint8 RGB to what conv1 expects, on the device: the first thing every net does.

The mean and the standard deviation are buffers of the net, because they belong to its weights: a net with another
origin's preprocessing loses tens of points without an error. Weights trained on BGR have conv1's input channels
reversed when they are read (weights/weights.py), so that everything here is RGB.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB on the 0..255 scale: .485 .456 .406
IMAGENET_STD = (58.395, 57.12, 57.375)  # .229 .224 .225 (torchvision); the MSRA models divide by nothing


class Preprocess(nn.Module):
    """``(image - mean) / std``, then zeros in the padding: conv1 sees the same border alone and in a batch.

    Args:
        mean: [3] of the channels, or [3, H, W] of every pixel (CIFAR-10, Sect. 4.2: then all images have that size).
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
        """Normalise images.

        Args:
            images: uint8 [N, 3, H, W], RGB.
            sizes: int64 [N, 2], the true (height, width) of each image; None where nothing is padded.

        Returns:
            float32 [N, 3, H, W], channels_last.
        """
        pixels = images.permute(0, 2, 3, 1).contiguous()
        N, H, W, C = pixels.shape
        rows = pixels.view(N, H, W * C)  # long rows for the vector units, not three channels at a time
        mean = self.mean.repeat(W) if self.mean.dim() == 1 else self.mean.permute(1, 2, 0).reshape(H, W * C)
        rows = (rows - mean).div_(self.std.repeat(W))
        if sizes is not None:
            rows.mul_(inside(sizes, H, W)[:, 0].repeat_interleave(C, -1))
        return rows.view(N, H, W, C).permute(0, 3, 1, 2)


def inside(sizes: Tensor, height: int, width: int) -> Tensor:
    """True where a map of [height, width] cells holds the image and not its padding: bool [N, 1, height, width]."""
    rows = torch.arange(height, device=sizes.device) < sizes[:, 0, None]  # [N, height]
    columns = torch.arange(width, device=sizes.device) < sizes[:, 1, None]  # [N, width]
    return (rows[:, :, None] & columns[:, None, :])[:, None]
