"""A stage's map on a finer grid: its stride becomes holes in its convolutions (à trous), its weights stay as they are.

make_holes(net.conv4)          # in place: the trunk's map has stride 8, every other cell of it is what it was

The hole algorithm of Chen et al. (2015, "Semantic image segmentation with deep convolutional nets and fully connected
CRFs", Sect. 3.1); R-FCN (Dai et al. 2016) has it in conv5.
"""

from __future__ import annotations

from torch import nn

from resdet.nets.blocks import BasicBlock, Bottleneck, ConvBN, ZeroPadding


def make_holes(stage: nn.Sequential) -> None:
    """Take the stride of 2 from a ResNet's conv3, conv4 or conv5, in place; the stages after it are not changed.

    Convolutions behind the one that had the stride read every other cell of their input, so that each cell of the old
    map is found in the new one with the value that it had.
    """
    behind = False
    for block in stage:
        assert isinstance(block, BasicBlock | Bottleneck)
        for layer in block.children():
            if layer is block.shortcut:
                continue
            assert isinstance(layer, ConvBN)
            conv = layer.conv
            if behind:
                conv.dilation = (2, 2)
                conv.padding = tuple(2 * (side // 2) for side in conv.kernel_size)
            behind |= conv.stride == (2, 2)
            conv.stride = (1, 1)
        if isinstance(block.shortcut, ConvBN):
            block.shortcut.conv.stride = (1, 1)
        if isinstance(block.shortcut, ZeroPadding):
            block.shortcut.stride = 1
        block.stride = 1
