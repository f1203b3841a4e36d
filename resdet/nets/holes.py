"""Dilation instead of stride (à trous): a map with twice as many cells per axis from the same weights.

make_holes(net.conv4)          # in place: the trunk's map has stride 8; its even cells have the values of before

The hole algorithm of Chen et al. (2015, "Semantic image segmentation with deep convolutional nets and fully connected
CRFs", Sect. 3.1); R-FCN (Dai et al. 2016) uses it in conv5.
"""

from __future__ import annotations

from torch import nn

from resdet.nets.blocks import BasicBlock, Bottleneck, ConvBN, ZeroPadding


def make_holes(stage: nn.Sequential) -> None:
    """Replace the stride of 2 in a ResNet's conv3, conv4 or conv5 by dilation, in place.

    Convolutions after the one that had the stride get dilation 2, so that every cell of the old map is found in the new
    map with the same value. Later stages are not changed: their own maps have twice as many cells, but other values.
    """
    after_stride = False
    for block in stage:
        assert isinstance(block, BasicBlock | Bottleneck)
        for layer in block.children():
            if layer is block.shortcut:
                continue
            assert isinstance(layer, ConvBN)
            conv = layer.conv
            if after_stride:
                conv.dilation = (2, 2)
                conv.padding = tuple(2 * (side // 2) for side in conv.kernel_size)
            after_stride |= conv.stride == (2, 2)
            conv.stride = (1, 1)
        if isinstance(block.shortcut, ConvBN):
            block.shortcut.conv.stride = (1, 1)
        if isinstance(block.shortcut, ZeroPadding):
            block.shortcut.stride = 1
        block.stride = 1
