"""Batch normalization as a constant: "linear activations with constant offsets and scales" (App. A).

A frozen BN never runs as a layer of its own: the convolution before it computes ``conv(x, w * scale) + shift`` in one
go, in training too. Output and gradient are the same, and the map is read and written once less. The convolution keeps
its own weight `w`, so that weight decay acts on the weight that it always acted on.

    freeze_batch_norm(net)          # BatchNorm2d -> FrozenBatchNorm, in place, statistics kept

"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FrozenBatchNorm(nn.Module):
    """Constant statistics and affine, kept as buffers: no gradient, no update, saved under BatchNorm2d's names."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def affine(self) -> tuple[Tensor, Tensor]:
        """The layer as ``x * scale + shift``: scale [C], shift [C], in fp32."""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """For use outside of ConvBN; x [N, C, H, W]."""
        scale, shift = self.affine()
        return x * scale.to(x.dtype)[:, None, None] + shift.to(x.dtype)[:, None, None]


def freeze_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm2d below `module`, in place, by a FrozenBatchNorm with the same statistics."""
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
