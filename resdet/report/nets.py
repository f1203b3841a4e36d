"""Table 1 and the costs of the paper's nets, computed from the nets of this package.

print_table(table_1())
print_table(costs_table(count_costs()))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import cast

import torch
from rich.table import Table
from torch import nn

from resdet.nets.blocks import BasicBlock, Bottleneck, ConvBN
from resdet.nets.cifar_resnet import CifarResNet
from resdet.nets.complexity import Complexity, complexity
from resdet.nets.resnet import BLOCKS, ResNet
from resdet.nets.vgg import VGG
from resdet.report.tables import format_count, results_table

STAGES = ("conv2", "conv3", "conv4", "conv5")

# The nets of count_costs(): name, constructor, side of the input in pixels, the paper's figure.
NETS: tuple[tuple[str, Callable[[], nn.Module], int, str], ...] = (
    ("VGG-16", partial(VGG, 16), 224, "15.3 G (Sect. 3.3)"),
    ("VGG-19", partial(VGG, 19), 224, "19.6 G (Fig. 3)"),
    ("plain-18", partial(ResNet, 18, shortcut=None), 224, "1.8 G (Table 1)"),
    ("plain-34", partial(ResNet, 34, shortcut=None), 224, "3.6 G (Fig. 3)"),
    ("ResNet-18 A", partial(ResNet, 18, shortcut="A"), 224, "1.8 G (Table 1)"),
    ("ResNet-18 B", partial(ResNet, 18), 224, ""),
    ("ResNet-18 C", partial(ResNet, 18, shortcut="C"), 224, ""),
    ("ResNet-34 A", partial(ResNet, 34, shortcut="A"), 224, "3.6 G (Fig. 3)"),
    ("ResNet-34 B", partial(ResNet, 34), 224, "3.6 G (Table 1)"),
    ("ResNet-34 C", partial(ResNet, 34, shortcut="C"), 224, ""),
    ("ResNet-50", partial(ResNet, 50), 224, "3.8 G (Table 1)"),
    ("ResNet-50, stride on the 3x3", partial(ResNet, 50, stride_on="3x3"), 224, ""),
    ("ResNet-101", partial(ResNet, 101), 224, "7.6 G (Table 1)"),
    ("ResNet-152", partial(ResNet, 152), 224, "11.3 G (Table 1)"),
    ("CIFAR ResNet-20", partial(CifarResNet, 20), 32, "0.27 M (Table 6)"),
    ("CIFAR ResNet-32", partial(CifarResNet, 32), 32, "0.46 M (Table 6)"),
    ("CIFAR ResNet-44", partial(CifarResNet, 44), 32, "0.66 M (Table 6)"),
    ("CIFAR ResNet-56", partial(CifarResNet, 56), 32, "0.85 M (Table 6)"),
    ("CIFAR ResNet-110", partial(CifarResNet, 110), 32, "1.7 M (Table 6)"),
    ("CIFAR ResNet-1202", partial(CifarResNet, 1202), 32, "19.4 M (Table 6)"),
)


def table_1() -> Table:
    """The paper's Table 1: the architectures for ImageNet, a column per depth."""
    nets = {depth: _shapes(partial(ResNet, depth)) for depth in BLOCKS}
    costs = {depth: complexity(net) for depth, net in nets.items()}
    first = cast(ResNet, nets[18])
    rows = [["conv1", _size(costs[18], "conv1"), *[f"{_layer(first.conv1)}\nstride 2"] * len(nets)]]
    rows.append(["pool1", _size(costs[18], "conv2"), *["3x3 max\nstride 2"] * len(nets)])
    for name in STAGES:
        stages = [cast(nn.Sequential, getattr(net, name)) for net in nets.values()]
        rows.append([f"{name}_x", _size(costs[18], name), *map(_stage, stages)])
    rows.append(["", "1x1", *["mean\n1000-d fc\nsoftmax"] * len(nets)])
    rows.append(["MACs", "", *(f"{cost.macs / 1e9:.1f} G" for cost in costs.values())])
    rows.append(["weights", "", *(f"{cost.parameters / 1e6:.1f} M" for cost in costs.values())])
    return results_table("Table 1", ["layer", "output", *(f"{d}-layer" for d in nets)], rows)


def count_costs() -> dict[str, Complexity]:
    """Parameters and multiply-adds (MACs) of every net of the paper, by name."""
    return {name: complexity(_shapes(make), side) for name, make, side, _ in NETS}


def costs_table(costs: Mapping[str, Complexity]) -> Table:
    """The result of `count_costs` beside the paper's figures."""
    papers = {name: paper for name, _, _, paper in NETS}
    rows = [
        [name, format_count(cost.parameters), format_count(cost.macs / 1e6), papers[name]]
        for name, cost in costs.items()
    ]
    return results_table("Costs", ["net", "parameters", "million MACs", "paper"], rows)


def _shapes(make: Callable[[], nn.Module]) -> nn.Module:
    """A net on the meta device: shapes without memory or initialization."""
    with torch.device("meta"):
        return make()


def _size(cost: Complexity, name: str) -> str:
    height, width = cost.sizes[name]
    return f"{height}x{width}"


def _stage(stage: nn.Sequential) -> str:
    """The layers of a block, one per line, and the number of blocks."""
    block = cast(BasicBlock | Bottleneck, stage[-1])
    parts = (block.a, block.b, block.c) if isinstance(block, Bottleneck) else (block.a, block.b)
    return "\n".join([*map(_layer, cast(Iterable[ConvBN], parts)), f"x {len(stage)}"])


def _layer(layer: ConvBN) -> str:
    return f"{layer.conv.kernel_size[0]}x{layer.conv.kernel_size[1]}, {layer.conv.out_channels}"
