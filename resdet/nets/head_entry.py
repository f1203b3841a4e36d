"""The first 1x1 convolutions of conv5, computed once on the shared map instead of once per region.

    entry = net.head_entry                                         # None: the net's head begins otherwise
    pooled = [pool(m.map, even=m.even) for m in entry.maps(features)]   # pool: RoIAlign
    vectors = entry.vectors(pooled)                                # = net.head(pool(features))

RoIAlign takes weighted means of cells, a 1x1 convolution without its bias takes weighted sums of channels: the two
commute. Of a bottleneck that changes the number of channels (conv5_1), this holds for the first 1x1 and for the
projection; their biases are added after pooling, where a sample outside of the map has counted as 0. A map has fewer
cells than 300 regions have bins, so that less is computed; the result is equal but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from resdet.nets.blocks import Bottleneck, ConvBN


class EntryMap(NamedTuple):
    """A map whose pooled regions `HeadEntry.vectors` goes on with."""

    map: Tensor  # [N, channels, h, w]
    even: bool  # whether only the even rows and columns of the pooled bins are read, because of the stride


class HeadEntry:
    """A head whose first block is a bottleneck with a projection, split where regions can be pooled.

    Args:
        block: the first block; its BN is frozen.
        rest: what follows it: the block's output for M regions -> float32 [M, channels].
    """

    def __init__(self, block: Bottleneck, rest: Callable[[Tensor], Tensor]) -> None:
        assert isinstance(block.shortcut, ConvBN)
        self.block, self.projection, self.rest = block, block.shortcut, rest

    def maps(self, features: Tensor) -> list[EntryMap]:
        """The first 1x1 and the projection on the trunk's map [N, C, h, w], without stride and biases."""
        block, weights = self.block, (self.block.a.affine()[0], self.projection.affine()[0])
        if block.strides_first:
            return [EntryMap(F.conv2d(features, torch.cat(weights)), block.stride == 2)]
        first, projection = (F.conv2d(features, weight) for weight in weights)
        return [EntryMap(first, False), EntryMap(projection, block.stride == 2)]

    def vectors(self, pooled: Sequence[Tensor]) -> Tensor:
        """The head's vectors float32 [M, channels] from the pooled maps, [M, channels, bins, bins] each."""
        block = self.block
        if block.strides_first:
            width = block.a.conv.out_channels
            pooled = (pooled[0][:, :width], pooled[0][:, width:])
        first, projection = pooled
        x = (first + block.a.affine()[1].to(first.dtype)[:, None, None]).relu_()
        weight, bias = block.c.affine()
        y = F.conv2d(block.b(x).relu_(), weight, bias + self.projection.affine()[1])
        return self.rest(y.add_(projection).relu_())
