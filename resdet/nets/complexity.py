"""Parameters, multiply-adds and output sizes of a net, counted on the net itself.

cost = complexity(ResNet(50))
cost.parameters, cost.macs                      # 25557032, 3857973248: the paper's 3.8 billion (Table 1)
cost.sizes["conv4"]                             # (14, 14)
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Complexity:
    """What one image costs."""

    parameters: int
    macs: int  # multiply-adds of convolutions and matrix products; BN, ReLU and pooling are not counted
    sizes: dict[str, tuple[int, int]]  # (height, width) of the maps of every direct child that answers with one


def complexity(net: nn.Module, height: int = 224, width: int | None = None) -> Complexity:
    """Count for one image of `height` x `width` pixels. Nothing is computed: tensors have shapes alone."""
    shadow = copy.deepcopy(net).to("meta").eval()
    sizes: dict[str, tuple[int, int]] = {}
    for name, child in shadow.named_children():
        for part in child if isinstance(child, nn.Sequential) else (child,):
            part.register_forward_hook(lambda _, __, out, name=name: _note(sizes, name, out))
    with FlopCounterMode(display=False) as counter:
        shadow(torch.empty(1, 3, height, width or height, device="meta"))
    return Complexity(sum(p.numel() for p in net.parameters()), counter.get_total_flops() // 2, sizes)


def _note(sizes: dict[str, tuple[int, int]], name: str, output: Tensor) -> None:
    if output.dim() == 4:
        sizes[name] = (output.shape[2], output.shape[3])
