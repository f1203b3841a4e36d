"""Precise BN: statistics over the training set (App. A) instead of the running averages of training.

    compute_statistics(net, batches, images=25_000)                    # then freeze_batch_norm(net)
    compute_statistics_by_layer(net, lambda: batches, images=25_000)   # one pass over the data per layer

Both compute the population mean and variance: moments over all positions of all images, not the mean of the batches'
variances.

`compute_statistics` takes one pass. Each layer's input then comes from layers that normalize with the statistics of
their batch, as in training; with batches of 64 and more this is close. `compute_statistics_by_layer` takes one pass per
layer, in which the earlier layers use their final statistics: exact for any batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resdet.ranges import Natural

Reduce = Callable[[Tensor], None]  # sums a tensor over all processes, in place


@dataclass(frozen=True)
class PreciseBN:
    """How the statistics are computed at the end of a training.

    Args:
        images: training images to use, at most; 0 keeps the running averages of training. A last batch of one image is
            left out, because a map of one cell has no variance.
        by_layer: one pass per layer (exact) instead of one pass.
    """

    images: Natural = 0
    by_layer: bool = False


class _ReachedError(Exception):
    """Raised when the layer whose moments are computed has seen its input: the rest of the net need not run."""


class _Moments:
    """Sums over the inputs of one BN layer, in fp64: number of cells, and values and squares per channel.

    Args:
        layer: its forward pre-hook is `add`.
        last: end the net's forward pass at this layer, by an exception.
    """

    def __init__(self, layer: nn.BatchNorm2d, last: bool = False) -> None:
        self.layer, self.last = layer, last
        self.sums = torch.zeros(2 * layer.num_features + 1, dtype=torch.float64, device=layer.weight.device)

    def add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Forward pre-hook: add the moments of the layer's input [N, C, H, W]."""
        x = inputs[0]
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        cells = x.numel() // x.shape[1]
        mean, variance = mean.double(), variance.double()
        self.sums += torch.cat([mean.new_ones(1), mean, variance + mean**2]) * cells
        if self.last:
            raise _ReachedError

    def store(self, reduce: Reduce | None) -> None:
        """Set the layer's running statistics from the sums, reduced over all processes."""
        if reduce is not None:
            reduce(self.sums)
        if not self.sums[0]:
            raise ValueError("no images reached the net: nothing to compute BN statistics from")
        mean, square = (self.sums[1:] / self.sums[0]).chunk(2)
        assert self.layer.running_mean is not None
        assert self.layer.running_var is not None
        self.layer.running_mean.copy_(mean)
        self.layer.running_var.copy_(square - mean**2)


@torch.no_grad()
def compute_statistics(net: nn.Module, batches: Iterable[Tensor], images: int, reduce: Reduce | None = None) -> int:
    """Set the running statistics of every BatchNorm2d to those of `images` images, in one pass.

    Args:
        net: called on each batch in training mode; its mode is restored afterwards.
        batches: preprocessed images [N, 3, H, W].
        images: stop after the batch that reaches this number.
        reduce: sums a tensor over processes that each have their own batches; None for one process.

    Returns:
        The number of images used by this process.

    Raises:
        ValueError: `batches` is empty.
    """
    layers = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta, training = [layer.momentum for layer in layers], net.training
    moments = [_Moments(layer) for layer in layers]
    net.train()
    for layer in layers:
        layer.momentum = 0.0  # this pass leaves the running averages alone
    try:
        seen = _run(net, batches, images, moments)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        net.train(training)
    for m in moments:
        m.store(reduce)
    return seen


@torch.no_grad()
def compute_statistics_by_layer(
    net: nn.Module, read: Callable[[], Iterable[Tensor]], images: int, reduce: Reduce | None = None
) -> int:
    """Set the running statistics of every BatchNorm2d, one layer after the other in the order of computation.

    Args:
        net: called on each batch in eval mode, up to the layer in question; its mode is restored afterwards.
        read: returns the batches from the start, called once per layer.
        images: stop after the batch that reaches this number.
        reduce: sums a tensor over processes that each have their own batches; None for one process.

    Returns:
        The number of images used by this process.
    """
    training, seen = net.training, 0
    net.eval()
    try:
        for layer in _in_order(net, read):
            moments = _Moments(layer, last=True)
            seen = _run(net, read(), images, [moments])
            moments.store(reduce)
    finally:
        net.train(training)
    return seen


def _run(net: nn.Module, batches: Iterable[Tensor], images: int, moments: list[_Moments]) -> int:
    """Run the net with hooks that add to `moments`, until `images` images are seen; returns their number."""
    hooks = [m.layer.register_forward_pre_hook(m.add) for m in moments]
    seen = 0
    try:
        for x in batches:
            with suppress(_ReachedError):
                net(x)
            seen += len(x)
            if seen >= images:
                break
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _in_order(net: nn.Module, read: Callable[[], Iterable[Tensor]]) -> list[nn.BatchNorm2d]:
    """The BatchNorm2d layers in the order in which the net computes them."""
    order: list[nn.BatchNorm2d] = []
    layers = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(lambda layer, _: order.append(layer)) for layer in layers]
    try:
        for x in read():
            net(x[:1])
            break
    finally:
        for hook in hooks:
            hook.remove()
    return order
