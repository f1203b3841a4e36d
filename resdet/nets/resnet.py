"""Residual networks for ImageNet-sized images (Sect. 3.3, Table 1), split where the detector splits them.

    net = ResNet(depth=50)                        # the paper's: stride 2 on the first 1x1 of conv3_1, conv4_1, conv5_1
    net = ResNet(depth=50, stride_on="3x3")       # torchvision's
    logits = net(net.preprocess(images))          # uint8 [N, 3, H, W] -> [N, 1000]
    features = net.trunk(net.preprocess(images))  # conv1..conv4, stride 16: [N, 1024, H/16, W/16]
    vectors = net.head(regions)                   # conv5 and the mean over positions: [M, 1024, 14, 14] -> [M, 2048]

Module names are the paper's: conv1, conv2 (for conv2_x) ... conv5, fc; inside a block a, b(, c), shortcut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.errors import UserError
from resdet.nets.frozen_bn import FrozenBatchNorm, freeze_batch_norm
from resdet.nets.preprocess import Preprocess, inside

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # Table 1
StrideOn = Literal["1x1", "3x3"]
Padding = tuple[Tensor, Tensor] | None  # cells outside the images, at a block's input and output size, kept at zero


class ConvBN(nn.Module):
    """A convolution and its batch normalization; one convolution with a bias once the BN is frozen."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor, stride: int | None = None) -> Tensor:
        """x [N, C, H, W]; `stride` replaces the convolution's own for this call."""
        conv = self.conv
        strides = conv.stride if stride is None else (stride, stride)
        if isinstance(self.bn, nn.Identity):  # folded for inference
            return F.conv2d(x, conv.weight, conv.bias, strides, conv.padding)
        if isinstance(self.bn, FrozenBatchNorm):
            scale, shift = self.bn.affine()
            return F.conv2d(x, conv.weight * scale[:, None, None, None], shift, strides, conv.padding)
        return self.bn(F.conv2d(x, conv.weight, None, strides, conv.padding))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (Fig. 5, left); ResNet-18 and 34."""

    expansion = 1

    def __init__(self, channels_in: int, width: int, stride: int, stride_on: StrideOn) -> None:
        super().__init__()
        self.a = ConvBN(channels_in, width, 3, stride)
        self.b = ConvBN(width, width, 3)
        self.shortcut = _projection(channels_in, width, stride)
        self.stride = stride

    @property
    def last(self) -> ConvBN:
        """The convolution before the addition."""
        return self.b

    def forward(self, x: Tensor, padding: Padding = None, stride: int | None = None) -> Tensor:
        """x [N, C, H, W] -> [N, width, H/stride, W/stride]; `stride` replaces the block's own for this call."""
        _, after = padding or (None, None)
        y = _zero(self.a(x, stride), after).relu_()
        y = self.b(y)
        return _zero(y.add_(_shortcut(self.shortcut, x, stride)), after).relu_()


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions (Fig. 5, right); ResNet-50, 101 and 152."""

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int, stride_on: StrideOn) -> None:
        super().__init__()
        self.a = ConvBN(channels_in, width, 1, stride if stride_on == "1x1" else 1)
        self.b = ConvBN(width, width, 3, stride if stride_on == "3x3" else 1)
        self.c = ConvBN(width, 4 * width, 1)
        self.shortcut = _projection(channels_in, 4 * width, stride)
        self.stride, self.strides_first = stride, stride_on == "1x1"

    @property
    def last(self) -> ConvBN:
        """The convolution before the addition."""
        return self.c

    def forward(self, x: Tensor, padding: Padding = None, stride: int | None = None) -> Tensor:
        """As BasicBlock.forward."""
        before, after = padding or (None, None)
        stride_a, stride_b = (stride, None) if self.strides_first else (None, stride)
        y = _zero(self.a(x, stride_a), after if self.strides_first else before).relu_()
        y = self.c(self.b(y, stride_b).relu_())
        return _zero(y.add_(_shortcut(self.shortcut, x, stride)), after).relu_()


class ResNet(nn.Module):
    """ResNet-18/34/50/101/152 with projection shortcuts where the size changes (option B).

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_classes: outputs of fc; None leaves fc out (a detector's net).
        width: multiplies every number of channels (64 of conv1 and so on), for small experiments.
        stride_on: which convolution of a bottleneck has the stride: "1x1", the paper and the MSRA weights, or "3x3",
            torchvision's. No matter for 18 and 34.
        pool1: "pad" pads the 3x3/2 max pooling by 1 (torchvision, detectron2); "ceil" is Caffe's, without padding but
            rounding the size up (the MSRA release).
        zero_last_gamma: start the last BN of every block at zero, so that each block starts as its shortcut (Goyal et
            al. 2017, Sect. 5.1); not the paper's.

    Initialised as in "Delving deep into rectifiers" (He et al. 2015): normal, fan-out; BN at one and zero.
    """

    def __init__(
        self,
        depth: int = 50,
        num_classes: int | None = 1000,
        width: float = 1.0,
        stride_on: StrideOn = "1x1",
        pool1: Literal["pad", "ceil"] = "pad",
        zero_last_gamma: bool = False,
    ) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise UserError(f"no ResNet-{depth} in Table 1; depth is one of {', '.join(map(str, BLOCKS))}")
        block = BasicBlock if depth < 50 else Bottleneck
        base = max(1, round(64 * width))
        self.depth, self.stride_on, self.pool1 = depth, stride_on, pool1
        self.preprocess = Preprocess()
        self.conv1 = ConvBN(3, base, 7, 2)
        self.conv2 = _stage(block, base, base, BLOCKS[depth][0], 1, stride_on)
        self.conv3 = _stage(block, base * block.expansion, 2 * base, BLOCKS[depth][1], 2, stride_on)
        self.conv4 = _stage(block, 2 * base * block.expansion, 4 * base, BLOCKS[depth][2], 2, stride_on)
        self.conv5 = _stage(block, 4 * base * block.expansion, 8 * base, BLOCKS[depth][3], 2, stride_on)
        self.trunk_channels, self.channels = 4 * base * block.expansion, 8 * base * block.expansion
        self.fc = None if num_classes is None else nn.Linear(self.channels, num_classes)
        _initialise(self)
        if zero_last_gamma:
            for module in self.modules():
                if isinstance(module, BasicBlock | Bottleneck):
                    nn.init.zeros_(cast(nn.BatchNorm2d, module.last.bn).weight)

    @property
    def reads_even_cells(self) -> bool:
        """Whether conv5 begins with strided 1x1 convolutions, which read only every other cell of their input."""
        return self.depth >= 50 and self.stride_on == "1x1"

    def trunk(self, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        """conv1 to conv4: x [N, 3, H, W], preprocessed -> [N, C, H/16, W/16].

        sizes: int64 [N, 2], the true (height, width) of each image where some are padded; None where none is. Cells
        outside are kept at zero in every layer, so that each image's map is what it would be alone.
        """
        cells = None if sizes is None else _half(sizes)
        x = _zero(self.conv1(x), _outside(cells, -(-x.shape[-2] // 2), -(-x.shape[-1] // 2))).relu_()
        if self.pool1 == "ceil":
            x = F.max_pool2d(x, 3, 2, padding=0, ceil_mode=True)
            cells = None if cells is None else cells // 2
        else:
            x = F.max_pool2d(x, 3, 2, padding=1)
            cells = None if cells is None else _half(cells)
        outside = _outside(cells, x.shape[-2], x.shape[-1])
        x = _zero(x, outside)
        for stage in (self.conv2, self.conv3, self.conv4):
            for block in cast(Iterable[BasicBlock | Bottleneck], stage):
                before = outside
                if cells is not None and block.stride == 2:
                    cells = _half(cells)
                    outside = _outside(cells, -(-x.shape[-2] // 2), -(-x.shape[-1] // 2))
                x = block(x, None if outside is None else (before, outside))
        return x

    def trunk_cells(self, sizes: Tensor) -> Tensor:
        """The (height, width) of the trunk's map for images of `sizes` [..., 2]; integers in, integers out."""
        conv1 = _half(sizes)
        pool1 = conv1 // 2 if self.pool1 == "ceil" else _half(conv1)
        return _half(_half(pool1))

    def head(self, regions: Tensor, subsampled: bool = False) -> Tensor:
        """conv5 and the mean over positions: [M, C, 14, 14] -> float32 [M, C5].

        subsampled: `regions` [M, C, 7, 7] holds the even cells alone, all that a strided 1x1 reads.
        """
        first, *rest = self.conv5
        x = first(regions, stride=1 if subsampled else None)
        for block in rest:
            x = block(x)
        return x.mean((2, 3), dtype=torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, num_classes] of preprocessed images x [N, 3, H, W]; without fc the vectors before it, [N, C5]."""
        vectors = self.head(self.trunk(x))
        return vectors if self.fc is None else self.fc(vectors)


def fold_for_inference(module: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Multiply every BN below `module` into its convolution, in place and for good, and cast the convolutions once.

    The BN's running statistics are used, frozen or not. For inference only: training would decay other weights.
    """
    for layer in module.modules():
        if not isinstance(layer, ConvBN) or isinstance(layer.bn, nn.Identity):
            continue
        freeze_batch_norm(layer)
        frozen = layer.bn
        assert isinstance(frozen, FrozenBatchNorm)
        scale, shift = frozen.affine()
        weight = (layer.conv.weight * scale[:, None, None, None]).to(dtype, memory_format=torch.channels_last)
        layer.conv.weight = nn.Parameter(weight, requires_grad=False)
        layer.conv.bias = nn.Parameter(shift.to(dtype), requires_grad=False)
        layer.bn = nn.Identity()
    return module


def _stage(
    block: type[BasicBlock] | type[Bottleneck],
    channels_in: int,
    width: int,
    count: int,
    stride: int,
    stride_on: StrideOn,
) -> nn.Sequential:
    first = block(channels_in, width, stride, stride_on)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1, stride_on) for _ in range(count - 1)))


def _projection(channels_in: int, channels_out: int, stride: int) -> ConvBN | None:
    """Option B: a 1x1 projection where the shape changes, the identity elsewhere (Sect. 3.3)."""
    if stride == 1 and channels_in == channels_out:
        return None
    return ConvBN(channels_in, channels_out, 1, stride)


def _shortcut(projection: ConvBN | None, x: Tensor, stride: int | None) -> Tensor:
    return x if projection is None else projection(x, stride)


def _half(cells: Tensor) -> Tensor:
    """Size of a map after a convolution of stride 2 with "same" padding: half, rounded up."""
    return (cells + 1) // 2


def _outside(cells: Tensor | None, height: int, width: int) -> Tensor | None:
    return None if cells is None else ~inside(cells, height, width)


def _zero(x: Tensor, where: Tensor | None) -> Tensor:
    return x if where is None else x.masked_fill_(where, 0)


def _initialise(net: nn.Module) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
