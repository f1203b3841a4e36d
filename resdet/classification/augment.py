"""Data augmentation of a classifier's training images, on the device, after normalization.

    classifier = Classifier(net, augment=ShiftAndFlip(padding=4))      # CIFAR-10, Sect. 4.2
    classifier = Classifier(net, augment=ColourNoise())                # ImageNet, Sect. 3.4

Every random draw is a function of the image's seed in this step (resdet/draws.py), so it is the same on every device
and in a resumed run.

Shapes: N images of C channels and H x W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.draws import random_keys

STREAM = 2  # random_keys: augmentation of a classifier's images

# PCA of ImageNet's training pixels, RGB in 0..1 (published in fb.resnet.torch); each column is an eigenvector.
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


class ShiftAndFlip(nn.Module):
    """Zero padding, a random crop of the image's original size, and a flip with probability 1/2 (Sect. 4.2).

    Args:
        padding: pixels on each side. Images are normalized before, so that zero is the mean colour.
    """

    def __init__(self, padding: int = 4) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor, seeds: Tensor, std: Tensor) -> Tensor:
        """Augmented images [N, C, H, W], channels_last.

        Args:
            x: normalized images, float32 [N, C, H, W].
            seeds: int64 [N].
            std: of the normalization, unused here; part of the interface.
        """
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
    """AlexNet's PCA colour noise (Krizhevsky et al. 2012, Sect. 4.1): one colour shift per image.

    Args:
        std: standard deviation of the coefficients of the three principal components; 0.1 in AlexNet.
    """

    values: Tensor
    vectors: Tensor

    def __init__(self, std: float = 0.1) -> None:
        super().__init__()
        self.std = std
        self.register_buffer("values", torch.tensor(EIGENVALUES), persistent=False)
        self.register_buffer("vectors", torch.tensor(EIGENVECTORS), persistent=False)

    def forward(self, x: Tensor, seeds: Tensor, std: Tensor) -> Tensor:
        """Images with noise, [N, 3, H, W].

        Args:
            x: RGB images, float32 [N, 3, H, W], 0..255 before they were divided by `std`.
            seeds: int64 [N].
            std: of the normalization, float32 [3].
        """
        uniform = random_keys(seeds, 3, STREAM).clamp(min=2.0**-25)
        alpha = self.std * torch.special.ndtri(uniform)  # [N, 3], normally distributed
        noise = 255 * (alpha * self.values) @ self.vectors.T  # [N, 3], RGB in 0..255
        noisy: Tensor = x + (noise / std)[:, :, None, None]
        return noisy
