"""Frozen batch normalization: "linear activations with constant offsets and scales" (App. A).

    freeze_batch_norm(net)          # BatchNorm2d -> FrozenBatchNorm, in place, with the same statistics

A frozen BN is not run as a layer: the ConvBN that holds it computes ``conv(x, w * scale) + shift``, in training too.
Output and gradient are the same, and the map is read and written once less. The convolution keeps its weight `w`, so
that weight decay acts on the same weight as before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_State = list[tuple[Tensor, int]]  # each buffer and how often it was changed in place


class FrozenBatchNorm(nn.Module):
    """BN with constant statistics and affine parameters: buffers under the names of BatchNorm2d's state dict."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self._known: tuple[_State, tuple[Tensor, Tensor]] | None = None

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def affine(self) -> tuple[Tensor, Tensor]:
        """(scale [C], shift [C]) in fp32; the layer computes ``x * scale + shift``.

        They are computed once, and again when a buffer has been replaced or changed: per step and layer they would be
        five launches on a GPU, a seventh of all in a step of R50-C4. Gradients do not pass to the buffers.
        """
        buffers = self.weight, self.bias, self.running_mean, self.running_var
        if torch.compiler.is_compiling() or any(buffer.is_inference() for buffer in buffers):
            return self._compute()
        state = [(buffer, buffer._version) for buffer in buffers]
        if self._known is None or not _same(self._known[0], state):
            with torch.inference_mode(False), torch.no_grad():  # tensors that training can use, too
                self._known = state, self._compute()
        return self._known[1]

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles begin without: their buffers count changes anew."""
        return {**self.__dict__, "_known": None}

    def _compute(self) -> tuple[Tensor, Tensor]:
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] -> the same shape and dtype; called only outside of ConvBN."""
        scale, shift = self.affine()
        return x * scale.to(x.dtype)[:, None, None] + shift.to(x.dtype)[:, None, None]


def _same(known: _State, state: _State) -> bool:
    return all(a is b and old == new for (a, old), (b, new) in zip(known, state, strict=True))


def freeze_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm2d inside `module` by a FrozenBatchNorm with the same statistics, in place.

    Returns:
        `module`.

    Raises:
        ValueError: a BatchNorm2d without affine parameters or running statistics.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _frozen_copy(child))
        else:
            freeze_batch_norm(child)
    return module


def _frozen_copy(bn: nn.BatchNorm2d) -> FrozenBatchNorm:
    if not bn.affine or bn.running_mean is None or bn.running_var is None:
        raise ValueError("only a BatchNorm2d with affine parameters and running statistics can be frozen")
    frozen = FrozenBatchNorm(bn.num_features, bn.eps).to(bn.weight)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(frozen, name).copy_(getattr(bn, name).detach())
    return frozen
