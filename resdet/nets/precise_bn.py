"""BN statistics over the training set (App. A), instead of the running averages of training.

    compute_statistics(net, batches, images=25_000)                    # then freeze_batch_norm(net)
    compute_statistics_by_layer(net, lambda: batches, images=25_000)   # once through the data for each layer

The population mean and variance: moments are pooled over all positions of all images, not averages of each batch's
variance and no exponential average.

In one pass, every layer sees inputs that the layers before it normalised with their batch's statistics, as in training;
with batches that are not small (64 and more) this is close. By layer, the layers before it use the statistics that they
will have at test: exact, however deep the net and small the batches, and one pass a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Reduce = Callable[[Tensor], None]  # adds up a tensor over all processes, in place


@dataclass(frozen=True)
class PreciseBN:
    """How the statistics are computed at the end of a training.

    Args:
        images: of the training set, at most; 0 keeps training's running averages. A last batch of one is left out: a
            map of one cell would have no variance.
        by_layer: one pass for each layer instead of one for all: exact.
    """

    images: int = 0
    by_layer: bool = False


class _ReachedError(Exception):
    """The layer that is looked at has its input: the rest of the net need not run."""


class _Moments:
    """Sums of one BN's inputs over a data set, in fp64."""

    def __init__(self, layer: nn.BatchNorm2d, last: bool = False) -> None:
        self.layer, self.last = layer, last
        self.sums = torch.zeros(2 * layer.num_features + 1, dtype=torch.float64, device=layer.weight.device)

    def add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """A forward pre-hook."""
        x = inputs[0]
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        cells = x.numel() // x.shape[1]
        mean, variance = mean.double(), variance.double()
        self.sums += torch.cat([mean.new_ones(1), mean, variance + mean**2]) * cells
        if self.last:
            raise _ReachedError

    def store(self, reduce: Reduce | None) -> None:
        """Set the layer's running statistics."""
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
        images: how many images to use, at least.
        reduce: of several processes, each with its own batches.

    Returns:
        The number of images used, of this process.
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
    """The same, one layer after the other in the order in which they are computed; later layers are not run.

    read: gives the batches anew for every layer; the other arguments are those of `compute_statistics`.
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
