"""The parts of residual nets: convolution with BN, the two blocks of Fig. 5, the shortcuts of Sect. 3.3.

stage = make_stage(Bottleneck, channels_in=256, width=128, count=4, stride=2, shortcut="B")
y = stage(x)                                        # [N, 256, H, W] -> [N, 512, H/2, W/2]
fold_for_inference(net)                             # multiply BN into the convolutions, in place
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.nets.frozen_bn import FrozenBatchNorm, freeze_batch_norm

StrideOn = Literal["1x1", "3x3"]
Shortcut = Literal["A", "B", "C"] | None  # Sect. 3.3; None: a plain net, without shortcuts

# oneDNN's gradient of a strided 1x1 writes beyond its memory where a net has fewer input channels (its issue 6035): the
# cells that it would read are taken beforehand.
ONEDNN_BLOCK = 16

# Which cells are padding and kept at zero: bool [N, 1, H, W] of a block's input and of its output; None: no cell.
Padding = tuple[Tensor, Tensor] | None


class ConvBN(nn.Module):
    """A convolution and its BN. A frozen BN (frozen_bn.py) is computed as part of the convolution.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        kernel: side of the kernel; the input is padded by ``kernel // 2``.
        stride: of the convolution.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor, stride: int | None = None) -> Tensor:
        """x [N, channels_in, H, W] -> [N, channels_out, H/stride, W/stride]; `stride` overrides the layer's own."""
        conv = self.conv
        strides = conv.stride if stride is None else (stride, stride)
        narrow = conv.kernel_size == (1, 1) and conv.in_channels < ONEDNN_BLOCK
        if narrow and strides != (1, 1) and torch.is_grad_enabled():
            x, strides = x[..., :: strides[0], :: strides[1]], (1, 1)
        if isinstance(self.bn, nn.Identity | FrozenBatchNorm):
            return F.conv2d(x, *self.affine(), strides, conv.padding, conv.dilation)
        y: Tensor = self.bn(F.conv2d(x, conv.weight, None, strides, conv.padding, conv.dilation))
        return y

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weight and bias [channels_out] of the one convolution that convolution and frozen (or folded) BN are.

        Raises:
            ValueError: the BN is not frozen.
        """
        if isinstance(self.bn, nn.Identity):  # folded for inference
            assert self.conv.bias is not None
            return self.conv.weight, self.conv.bias
        if not isinstance(self.bn, FrozenBatchNorm):
            raise ValueError("a convolution and its BN are one convolution only if the BN is frozen")
        scale, shift = self.bn.affine()
        return self.conv.weight * scale[:, None, None, None], shift


class ZeroPadding(nn.Module):
    """Option A's shortcut where the shape changes: every `stride`-th cell, with zeros appended as new channels."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.new, self.stride = channels_out - channels_in, stride

    def forward(self, x: Tensor, stride: int | None = None) -> Tensor:
        """x [N, channels_in, H, W] -> [N, channels_out, H/stride, W/stride]; `stride` overrides the layer's own."""
        stride = self.stride if stride is None else stride
        return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, self.new))


class _Block(nn.Module, ABC):
    """What both blocks share: the shortcut, the addition, zeros in the padding and the last ReLU.

    Args:
        channels_in: channels of the input.
        width: channels of the convolutions; the output has expansion * width.
        stride: 2 in the first block of a stage that halves the map.
        stride_on: the convolution of a bottleneck that has the stride: the first "1x1" (the paper) or the "3x3"
            (torchvision). A BasicBlock ignores it; it is taken so that both blocks are built by the same call.
        shortcut: option A, B or C of Sect. 3.3; None leaves the addition out.
    """

    expansion: int

    def __init__(
        self, channels_in: int, width: int, stride: int = 1, stride_on: StrideOn = "1x1", shortcut: Shortcut = "B"
    ) -> None:
        super().__init__()
        self.residual, self.stride, self.strides_first = shortcut is not None, stride, stride_on == "1x1"
        self._add_convolutions(channels_in, width)
        self.shortcut = _make_shortcut(shortcut, channels_in, self.expansion * width, stride)

    @abstractmethod
    def _add_convolutions(self, channels_in: int, width: int) -> None: ...

    def _finish(self, y: Tensor, x: Tensor, stride: int | None, outside: Tensor | None) -> Tensor:
        if self.residual:
            y = y.add_(x if self.shortcut is None else self.shortcut(x, stride))
        return zero(y, outside).relu_()


class BasicBlock(_Block):
    """Two 3x3 convolutions (Fig. 5, left), in ResNet-18 and 34 and the nets for CIFAR-10; arguments of `_Block`."""

    expansion = 1

    def _add_convolutions(self, channels_in: int, width: int) -> None:
        self.a = ConvBN(channels_in, width, 3, self.stride)
        self.b = ConvBN(width, width, 3)

    @property
    def last(self) -> ConvBN:
        """The convolution before the addition."""
        return self.b

    def forward(self, x: Tensor, padding: Padding = None, stride: int | None = None) -> Tensor:
        """x [N, channels_in, H, W] -> [N, width, H/stride, W/stride]; `stride` overrides the block's own."""
        _, after = padding or (None, None)
        y = self.b(zero(self.a(x, stride), after).relu_())
        return self._finish(y, x, stride, after)


class Bottleneck(_Block):
    """1x1, 3x3 and 1x1 convolutions (Fig. 5, right), in ResNet-50, 101 and 152; arguments of `_Block`."""

    expansion = 4

    def _add_convolutions(self, channels_in: int, width: int) -> None:
        self.a = ConvBN(channels_in, width, 1, self.stride if self.strides_first else 1)
        self.b = ConvBN(width, width, 3, 1 if self.strides_first else self.stride)
        self.c = ConvBN(width, self.expansion * width, 1)

    @property
    def last(self) -> ConvBN:
        """The convolution before the addition."""
        return self.c

    def forward(self, x: Tensor, padding: Padding = None, stride: int | None = None) -> Tensor:
        """x [N, channels_in, H, W] -> [N, 4 * width, H/stride, W/stride]; `stride` overrides the block's own."""
        before, after = padding or (None, None)
        stride_a, stride_b = (stride, None) if self.strides_first else (None, stride)
        y = zero(self.a(x, stride_a), after if self.strides_first else before).relu_()
        y = self.c(self.b(y, stride_b).relu_())
        return self._finish(y, x, stride, after)


def make_stage(
    block: type[BasicBlock] | type[Bottleneck],
    channels_in: int,
    width: int,
    count: int,
    stride: int,
    stride_on: StrideOn = "1x1",
    shortcut: Shortcut = "B",
) -> nn.Sequential:
    """A stage: `count` blocks, the first of which has the stride and changes the number of channels.

    Args:
        block: BasicBlock or Bottleneck.
        channels_in: channels of the stage's input.
        width, stride_on, shortcut: as in the block.
        count: number of blocks.
        stride: of the first block.
    """
    first = block(channels_in, width, stride, stride_on, shortcut)
    rest = (block(width * block.expansion, width, 1, stride_on, shortcut) for _ in range(count - 1))
    return nn.Sequential(first, *rest)


def _make_shortcut(shortcut: Shortcut, channels_in: int, channels_out: int, stride: int) -> nn.Module | None:
    """The module of the shortcut; None for the identity and for plain nets."""
    same = stride == 1 and channels_in == channels_out
    if shortcut is None or (same and shortcut != "C"):
        return None
    if shortcut == "A":
        return ZeroPadding(channels_in, channels_out, stride)
    return ConvBN(channels_in, channels_out, 1, stride)


def zero(x: Tensor, where: Tensor | None) -> Tensor:
    """Set the cells of x [N, C, H, W] at `where` bool [N, 1, H, W] to zero, in place; None: no cell. Returns x."""
    return x if where is None else x.masked_fill_(where, 0)


def initialize(net: nn.Module) -> None:
    """Initialize as in "Delving deep into rectifiers" (He et al. 2015), in place: normal, fan-out; BN stays at 1, 0."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)


@runtime_checkable
class WithoutBN(Protocol):
    """A net without BN to fold, which casts its own layers for inference: VGG."""

    def cast(self, dtype: torch.dtype) -> None:
        """Cast the weights to `dtype`, in place."""


def fold_for_inference(module: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Multiply every BN inside `module` into its convolution and cast the convolutions to `dtype`, in place.

    The running statistics are used, whether the BN is frozen or not. For inference only: in training, weight decay
    would act on the product instead of the convolution's weight.

    Returns:
        `module`.
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
    for net in module.modules():
        if isinstance(net, WithoutBN):
            net.cast(dtype)
    return module
