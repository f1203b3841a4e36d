"""What residual nets are made of: a convolution with its BN, the two blocks of Fig. 5, the shortcuts of Sect. 3.3.

stage = make_stage(Bottleneck, channels_in=256, width=128, count=4, stride=2, shortcut="B")
y = stage(x)                                        # [N, 256, H, W] -> [N, 512, H/2, W/2]
fold_for_inference(net)                             # BN into convolutions, for good
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.nets.frozen_bn import FrozenBatchNorm, freeze_batch_norm

StrideOn = Literal["1x1", "3x3"]
Shortcut = Literal["A", "B", "C"] | None  # Sect. 3.3; None: a plain net, without any
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
            return F.conv2d(x, conv.weight, conv.bias, strides, conv.padding, conv.dilation)
        if isinstance(self.bn, FrozenBatchNorm):
            scale, shift = self.bn.affine()
            return F.conv2d(x, conv.weight * scale[:, None, None, None], shift, strides, conv.padding, conv.dilation)
        return self.bn(F.conv2d(x, conv.weight, None, strides, conv.padding, conv.dilation))


class ZeroPadding(nn.Module):
    """The shortcut of option A where the shape changes: every `stride`-th cell, and zeros for the new channels."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.new, self.stride = channels_out - channels_in, stride

    def forward(self, x: Tensor, stride: int | None = None) -> Tensor:
        """As ConvBN.forward."""
        stride = self.stride if stride is None else stride
        return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, self.new))


class _Block(nn.Module):
    """The end that both blocks share: the shortcut, the addition, and which cells are zeroed."""

    expansion: int
    stride: int

    def _set_shortcut(self, option: Shortcut, channels_in: int, channels_out: int, stride: int) -> None:
        self.residual, self.stride = option is not None, stride
        self.shortcut = _make_shortcut(option, channels_in, channels_out, stride)

    def _finish(self, y: Tensor, x: Tensor, stride: int | None, outside: Tensor | None) -> Tensor:
        if self.residual:
            y = y.add_(x if self.shortcut is None else self.shortcut(x, stride))
        return zero(y, outside).relu_()


class BasicBlock(_Block):
    """Two 3x3 convolutions (Fig. 5, left); ResNet-18 and 34, and CIFAR's nets.

    Args:
        channels_in: of the block's input.
        width: of its convolutions and its output.
        stride: 2 in the first block of a stage that halves the map.
        stride_on: of no matter here.
        option: of the shortcut; None leaves the addition out.
    """

    expansion = 1

    def __init__(
        self, channels_in: int, width: int, stride: int = 1, stride_on: StrideOn = "1x1", option: Shortcut = "B"
    ) -> None:
        super().__init__()
        self.a = ConvBN(channels_in, width, 3, stride)
        self.b = ConvBN(width, width, 3)
        self._set_shortcut(option, channels_in, width, stride)

    @property
    def last(self) -> ConvBN:
        """The convolution before the addition."""
        return self.b

    def forward(self, x: Tensor, padding: Padding = None, stride: int | None = None) -> Tensor:
        """x [N, C, H, W] -> [N, width, H/stride, W/stride]; `stride` replaces the block's own for this call."""
        _, after = padding or (None, None)
        y = self.b(zero(self.a(x, stride), after).relu_())
        return self._finish(y, x, stride, after)


class Bottleneck(_Block):
    """1x1, 3x3, 1x1 convolutions (Fig. 5, right); ResNet-50, 101 and 152.

    Arguments as BasicBlock's; `stride_on` says which convolution has the stride, and the output is 4 * width wide.
    """

    expansion = 4

    def __init__(
        self, channels_in: int, width: int, stride: int = 1, stride_on: StrideOn = "1x1", option: Shortcut = "B"
    ) -> None:
        super().__init__()
        self.a = ConvBN(channels_in, width, 1, stride if stride_on == "1x1" else 1)
        self.b = ConvBN(width, width, 3, stride if stride_on == "3x3" else 1)
        self.c = ConvBN(width, 4 * width, 1)
        self._set_shortcut(option, channels_in, 4 * width, stride)
        self.strides_first = stride_on == "1x1"

    @property
    def last(self) -> ConvBN:
        """The convolution before the addition."""
        return self.c

    def forward(self, x: Tensor, padding: Padding = None, stride: int | None = None) -> Tensor:
        """As BasicBlock.forward."""
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
    option: Shortcut = "B",
) -> nn.Sequential:
    """`count` blocks, of which the first has the stride and changes the number of channels."""
    first = block(channels_in, width, stride, stride_on, option)
    rest = (block(width * block.expansion, width, 1, stride_on, option) for _ in range(count - 1))
    return nn.Sequential(first, *rest)


def _make_shortcut(option: Shortcut, channels_in: int, channels_out: int, stride: int) -> nn.Module | None:
    """None where the block's input itself is added, or nothing."""
    same = stride == 1 and channels_in == channels_out
    if option is None or (same and option != "C"):
        return None
    return (
        ZeroPadding(channels_in, channels_out, stride)
        if option == "A"
        else ConvBN(channels_in, channels_out, 1, stride)
    )


def zero(x: Tensor, where: Tensor | None) -> Tensor:
    """Set cells to zero, in place; `where` bool [N, 1, H, W], None: nowhere."""
    return x if where is None else x.masked_fill_(where, 0)


def initialise(net: nn.Module) -> None:
    """As in "Delving deep into rectifiers" (He et al. 2015): normal, fan-out; BN stays at one and zero."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)


@runtime_checkable
class WithoutBN(Protocol):
    """A net that has nothing to fold, and casts its layers by itself: VGG."""

    def cast(self, dtype: torch.dtype) -> None: ...  # noqa: D102


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
    for net in module.modules():
        if isinstance(net, WithoutBN):
            net.cast(dtype)
    return module
