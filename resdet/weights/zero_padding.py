"""Where option A's zeros are: after the channels (ours), or half before and half after (public nets for CIFAR-10).

    state = to_one_side(public_state)           # the same function of the image; to_both_sides is the inverse

A stage of 32 channels adds its blocks to 16 channels and 16 zeros. Which channels are the zeros is a matter of order
alone: the last convolution of each block, the inputs of what reads it, and fc are permuted, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

_LAYER = re.compile(r"conv(?P<stage>\d)\.(?P<block>\d+)\.(?P<layer>[ab])\.(?P<rest>.+)")


def to_one_side(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A CifarResNet's tensors, under our names, with the channels in our order."""
    return _reorder(state, lambda order: order)


def to_both_sides(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse: the channels as public nets for CIFAR-10 have them."""
    return _reorder(state, torch.argsort)


def _reorder(state: Mapping[str, Tensor], prepare: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    stages = sorted({match["stage"] for name in state if (match := _LAYER.fullmatch(name))})
    widths = [state[f"conv{stage}.0.b.conv.weight"].shape[0] for stage in stages]
    orders = dict(zip(stages, map(prepare, _orders(widths)), strict=True))

    def one(name: str, tensor: Tensor) -> Tensor:
        if name == "fc.weight":
            return tensor[:, orders[stages[-1]]]
        match = _LAYER.fullmatch(name)
        if match is None:
            return tensor
        stage = match["stage"]
        if match["layer"] == "b":  # what is added
            return tensor[orders[stage]] if tensor.dim() else tensor  # BN counts batches
        if match["rest"] != "conv.weight":  # what lies between a and b has an order of its own
            return tensor
        read = stage if match["block"] != "0" else str(int(stage) - 1)
        return tensor[:, orders[read]] if read in orders else tensor

    return {name: one(name, tensor) for name, tensor in state.items()}


def _orders(widths: list[int]) -> list[Tensor]:
    """For each stage: where the channels of ours are among those of a net with zeros on both sides, int64 [C]."""
    order = torch.arange(widths[0])
    orders = [order]
    for width in widths[1:]:
        before = (width - len(order)) // 2
        zeros = torch.tensor([*range(before), *range(before + len(order), width)], dtype=torch.int64)
        order = torch.cat([before + order, zeros])
        orders.append(order)
    return orders
