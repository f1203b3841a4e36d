"""Random views of a classifier's training images, made on the device from normalised pixels.

classifier = Classifier(net, augment=ShiftAndFlip(padding=4))      # CIFAR-10, Sect. 4.2
classifier = Classifier(net, augment=ColourNoise())                # ImageNet, Sect. 3.4

Every draw is a function of the image's key in this step: the same on every device, and in a resumed run.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.draws import random_keys

STREAM = 2  # of random_keys: a classifier's views

# Of RGB in 0..1 over ImageNet's training pixels, as fb.resnet.torch publishes them; an eigenvector is a column.
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))  # a column each


class ShiftAndFlip(nn.Module):
    """A random crop of the image's own size after padding with zeros, and a flip half of the time (Sect. 4.2).

    Args:
        padding: cells on each side; the mean was subtracted before, so that zeros are the mean.
    """

    def __init__(self, padding: int = 4) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor, seeds: Tensor, std: Tensor) -> Tensor:
        """x float32 [N, C, H, W] and seeds int64 [N] -> [N, C, H, W], channels_last."""
        N, _, H, W = x.shape
        u = random_keys(seeds, 3, STREAM)
        shifts = (u[:, :2] * (2 * self.padding + 1)).long()
        rows = shifts[:, :1] + torch.arange(H, device=x.device)  # [N, H], in the padded image
        columns = torch.arange(W, device=x.device).expand(N, W)
        columns = shifts[:, 1:] + torch.where(u[:, 2:] < 0.5, columns.flip(1), columns)
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, *[self.padding] * 4))
        image = torch.arange(N, device=x.device)[:, None, None]
        return padded[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class ColourNoise(nn.Module):
    """AlexNet's PCA noise (Krizhevsky et al. 2012, Sect. 4.1): one draw an image along ImageNet's colour axes.

    Args:
        std: of the three coefficients.
    """

    values: Tensor
    vectors: Tensor

    def __init__(self, std: float = 0.1) -> None:
        super().__init__()
        self.std = std
        self.register_buffer("values", torch.tensor(EIGENVALUES), persistent=False)
        self.register_buffer("vectors", torch.tensor(EIGENVECTORS), persistent=False)

    def forward(self, x: Tensor, seeds: Tensor, std: Tensor) -> Tensor:
        """x float32 [N, 3, H, W], divided by `std` [3] of the preprocessing, with noise."""
        uniform = random_keys(seeds, 3, STREAM).clamp(min=2.0**-25)
        alpha = self.std * torch.special.ndtri(uniform)  # [N, 3], normal
        noise = 255 * (alpha * self.values) @ self.vectors.T  # [N, 3], RGB in 0..255
        return x + (noise / std)[:, :, None, None]
