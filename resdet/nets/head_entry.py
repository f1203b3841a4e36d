"""The first 1x1 convolutions of conv5, computed once on the shared map instead of once per region.

    pooled = [pool(entry.map, even=entry.even) for entry in enter(block, features)]   # pool: RoIAlign
    y = after_entry(block, pooled)                                                    # = block(pool(features))

RoIAlign takes weighted means of cells, a 1x1 convolution without its bias takes weighted sums of channels: the two
commute. Of a bottleneck that changes the number of channels (conv5_1), this holds for the first 1x1 and for the
projection; their biases are added after pooling, where a sample outside of the map has counted as 0. A map has fewer
cells than 300 regions have bins, so that less is computed; the result is equal but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from resdet.nets.blocks import Bottleneck, ConvBN


class EntryMap(NamedTuple):
    """A map whose pooled regions `after_entry` goes on with."""

    map: Tensor  # [N, channels, h, w]
    even: bool  # whether only the even rows and columns of the pooled bins are read, because of the stride


def can_enter(block: object) -> bool:
    """Whether `block` is a bottleneck with a projection, which begins with 1x1 convolutions alone."""
    return isinstance(block, Bottleneck) and isinstance(block.shortcut, ConvBN)


def enter(block: Bottleneck, features: Tensor) -> list[EntryMap]:
    """The first 1x1 and the projection of `block` on features [N, C, h, w], without stride and biases."""
    first, projection = _weights(block)
    if block.strides_first:
        return [EntryMap(F.conv2d(features, torch.cat([first, projection])), block.stride == 2)]
    return [EntryMap(F.conv2d(features, first), False), EntryMap(F.conv2d(features, projection), block.stride == 2)]


def after_entry(block: Bottleneck, pooled: Sequence[Tensor]) -> Tensor:
    """The output of `block` for M regions, from the pooled maps of `enter`, [M, channels, bins, bins] each."""
    if block.strides_first:
        width = block.a.conv.out_channels
        pooled = (pooled[0][:, :width], pooled[0][:, width:])
    first, projection = pooled
    assert isinstance(block.shortcut, ConvBN)
    (_, bias), (_, projection_bias) = block.a.affine(), block.shortcut.affine()
    x = (first + bias.to(first.dtype)[:, None, None]).relu_()
    weight, last_bias = block.c.affine()
    y = F.conv2d(block.b(x).relu_(), weight, last_bias + projection_bias)
    return y.add_(projection).relu_()


def _weights(block: Bottleneck) -> tuple[Tensor, Tensor]:
    assert isinstance(block.shortcut, ConvBN)
    return block.a.affine()[0], block.shortcut.affine()[0]
