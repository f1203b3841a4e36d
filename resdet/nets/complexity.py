"""Parameters, multiply-adds and output sizes of a net, counted while it runs on tensors without data.

cost = complexity(ResNet(50))
cost.parameters, cost.macs                      # 25557032, 3857973248: the paper's 3.8 billion (Table 1)
cost.sizes["conv4"]                             # (14, 14)
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Complexity:
    """Size and cost of a net for one image."""

    parameters: int
    macs: int  # multiply-adds of convolutions and matrix products, without BN, ReLU and pooling
    sizes: dict[str, tuple[int, int]]  # child's name -> (height, width) of its output, of children that return a map


def complexity(net: nn.Module, height: int = 224, width: int | None = None) -> Complexity:
    """Count parameters and multiply-adds for one image, on the meta device: no values are computed.

    Args:
        net: takes preprocessed images [N, 3, H, W]; it is copied, not changed.
        height, width: of the image in pixels; without `width` it is square.
    """
    shadow = _shadow(net).eval()
    sizes: dict[str, tuple[int, int]] = {}
    for name, child in shadow.named_children():
        for part in child if isinstance(child, nn.Sequential) else (child,):
            part.register_forward_hook(lambda _, __, out, name=name: _note(sizes, name, out))
    with FlopCounterMode(display=False) as counter:
        shadow(torch.empty(1, 3, height, width or height, device="meta"))
    return Complexity(sum(p.numel() for p in net.parameters()), counter.get_total_flops() // 2, sizes)


def _shadow(net: nn.Module) -> nn.Module:
    """A copy on the meta device in which BatchNorm2d layers pass their input on.

    They count nothing, and computing their shapes takes most of the time of a deep net.
    """
    values: dict[int, Any] = {}
    for value in chain(net.parameters(), net.buffers()):
        shape = torch.empty_like(value, device="meta", requires_grad=False)
        values[id(value)] = nn.Parameter(shape, False) if isinstance(value, nn.Parameter) else shape
    shadow = copy.deepcopy(net, values)
    for module in shadow.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.forward = _unchanged  # type: ignore[assignment,method-assign]
    return shadow


def _unchanged(x: Tensor) -> Tensor:
    return x


def _note(sizes: dict[str, tuple[int, int]], name: str, output: Tensor) -> None:
    if output.dim() == 4:
        sizes[name] = (output.shape[2], output.shape[3])
