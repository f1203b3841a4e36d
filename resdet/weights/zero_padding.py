"""Channel order of option A's shortcuts: zeros after the channels (ours) or half before and half after (public nets).

    state = to_one_side(public_state)           # public order -> ours; the net computes the same logits
    state = to_both_sides(our_state)            # the inverse

Where a stage doubles 16 channels to 32, the shortcut of option A (Sect. 3.3) adds 16 channels of zeros. Public nets for
CIFAR-10 put 8 zeros before the channels and 8 after them, we put all 16 after them. To convert, the outputs of the last
convolution of each block, the inputs of the layers that read them, and the inputs of fc are permuted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

_LAYER = re.compile(r"conv(?P<stage>\d)\.(?P<block>\d+)\.(?P<layer>[ab])\.(?P<rest>.+)")


def to_one_side(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A CifarResNet's tensors (under our names, in the public order of channels) in our order."""
    return _reorder(state, lambda order: order)


def to_both_sides(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A CifarResNet's tensors (under our names, in our order of channels) in the order of public nets for CIFAR-10."""
    return _reorder(state, torch.argsort)


def _reorder(state: Mapping[str, Tensor], to_order: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Permute the channels of each stage; `to_order` makes the permutation from that of `_orders`."""
    stages = sorted({match["stage"] for name in state if (match := _LAYER.fullmatch(name))})
    widths = [state[f"conv{stage}.0.b.conv.weight"].shape[0] for stage in stages]
    orders = dict(zip(stages, map(to_order, _orders(widths)), strict=True))

    def reorder_tensor(name: str, tensor: Tensor) -> Tensor:
        if name == "fc.weight":
            return tensor[:, orders[stages[-1]]]
        match = _LAYER.fullmatch(name)
        if match is None:
            return tensor
        stage = match["stage"]
        if match["layer"] == "b":  # its output is added to the shortcut
            return tensor[orders[stage]] if tensor.dim() else tensor  # num_batches_tracked has no channels
        if match["rest"] != "conv.weight":  # a's BN: the channels between a and b are not permuted
            return tensor
        read = stage if match["block"] != "0" else str(int(stage) - 1)
        return tensor[:, orders[read]] if read in orders else tensor

    return {name: reorder_tensor(name, tensor) for name, tensor in state.items()}


def _orders(widths: list[int]) -> list[Tensor]:
    """For each stage int64 [C]: order[i] is the channel, in a net with zeros on both sides, that is our channel i."""
    order = torch.arange(widths[0])
    orders = [order]
    for width in widths[1:]:
        before = (width - len(order)) // 2
        zeros = torch.tensor([*range(before), *range(before + len(order), width)], dtype=torch.int64)
        order = torch.cat([before + order, zeros])
        orders.append(order)
    return orders
