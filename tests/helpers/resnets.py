"""Small ResNets with random BN statistics, and random images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resdet.nets.resnet import ResNet


def meta_net(depth: int, **options: object) -> ResNet:
    """A ResNet on the meta device, for shapes only."""
    with torch.device("meta"):
        return ResNet(depth, **options).eval()  # type: ignore[arg-type]


def randomised(net: ResNet, seed: int = 0) -> ResNet:
    """Set random BN statistics, scales and shifts, as after training."""
    random = torch.Generator().manual_seed(seed)
    for bn in net.modules():
        if isinstance(bn, nn.BatchNorm2d):
            shape = bn.weight.shape
            bn.weight.data = 0.5 + torch.rand(shape, generator=random)
            bn.bias.data = torch.randn(shape, generator=random) / 4
            bn.running_mean = torch.randn(shape, generator=random) / 4
            bn.running_var = 0.5 + torch.rand(shape, generator=random)
    return net


def small_net(depth: int = 18, **options: object) -> ResNet:
    """A ResNet of 1/8 width for five classes, with random weights and BN statistics."""
    torch.manual_seed(depth)
    return randomised(ResNet(depth, num_classes=5, width=1 / 8, **options)).eval()  # type: ignore[arg-type]


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Random uint8 values of this shape."""
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
