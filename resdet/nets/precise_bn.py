"""BN statistics over the training set (App. A), instead of the running averages of training.

    compute_statistics(net, batches, images=25_000)    # then freeze_batch_norm(net)

The population mean and variance: moments are pooled over all positions of all images, not averages of each batch's
variance and no exponential average.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class _Moments:
    """Sums of one BN's inputs over a data set, in fp64."""

    def __init__(self, channels: int, device: torch.device) -> None:
        self.count = 0
        self.total = torch.zeros(channels, dtype=torch.float64, device=device)
        self.square = torch.zeros(channels, dtype=torch.float64, device=device)

    def add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        cells = x.numel() // x.shape[1]
        self.count += cells
        self.total += mean.double() * cells
        self.square += (variance.double() + mean.double() ** 2) * cells


@torch.no_grad()
def compute_statistics(net: nn.Module, batches: Iterable[Tensor], images: int) -> int:
    """Set the running statistics of every BatchNorm2d to those of `images` images.

    Each layer sees its input as in training, normalised by the batch's statistics before it: take batches that are not
    small (64 and more).

    Args:
        net: called on each batch in training mode; its mode is restored afterwards.
        batches: preprocessed images [N, 3, H, W].
        images: how many images to use, at least.

    Returns:
        The number of images used.
    """
    layers = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    moments = [_Moments(layer.num_features, layer.weight.device) for layer in layers]
    hooks = [layer.register_forward_pre_hook(m.add) for layer, m in zip(layers, moments, strict=True)]
    training, seen = net.training, 0
    net.train()
    for layer in layers:
        layer.momentum = 0.0  # this pass leaves the running averages alone
    try:
        for x in batches:
            net(x)
            seen += len(x)
            if seen >= images:
                break
    finally:
        for hook in hooks:
            hook.remove()
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        net.train(training)
    for layer, m in zip(layers, moments, strict=True):
        _store(layer, m)
    return seen


def _store(layer: nn.BatchNorm2d, moments: _Moments) -> None:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    if not moments.count:
        raise ValueError("no images reached the net: nothing to compute BN statistics from")
    mean = moments.total / moments.count
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(moments.square / moments.count - mean**2)
