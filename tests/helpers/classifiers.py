"""A small classifier with random weights, and random images."""

from __future__ import annotations

import torch

from resdet.classification.classifier import Classifier
from resdet.nets.resnet import ResNet


def classifier(depth: int = 18) -> Classifier:
    """A ResNet of 1/8 width for five classes."""
    torch.manual_seed(depth)
    net = ResNet(depth, num_classes=5, width=1 / 8).eval()
    torch.nn.init.normal_(net.fc.weight, std=1.0)  # type: ignore[union-attr]
    return Classifier(net).eval()


def noise(*shape: int) -> torch.Tensor:
    """Random uint8 values of this shape."""
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
