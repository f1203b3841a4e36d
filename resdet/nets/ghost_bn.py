"""Ghost batch normalization: statistics over parts of a batch, as if it was split over several GPUs.

    use_ghost_batches(net, images=32)      # BatchNorm2d -> GhostBatchNorm, in place, names and statistics kept

The paper's batches were split: ImageNet's 256 images over eight GPUs, 32 on each, CIFAR's 128 over two, 64 on each
(Sect. 3.4, 4.2). BN on one device that takes the whole batch would normalize over more images. The name is from Hoffer
et al. (2017, "Train longer, generalize better").

On a GPU with Triton its kernels do it (ghost_bn_triton.py), where the parts have equal sizes; else plain torch, with
equal values up to rounding.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.errors import UserError
from resdet.kernels import kernel_runs

KERNELS = "resdet.nets.ghost_bn_triton"
KERNEL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class GhostBatchNorm(nn.BatchNorm2d):
    """BatchNorm2d that, in training, normalizes each part of `images` images (the last may be smaller) on its own.

    The running averages are updated with the mean of the parts' statistics. In eval mode it is a BatchNorm2d.
    """

    def __init__(self, channels: int, images: int) -> None:
        super().__init__(channels)
        self.images = images

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] -> the same shape."""
        if not self.training or len(x) <= self.images:
            return super().forward(x)
        if self._has_kernel(x):
            return self._kernel_forward(x)
        assert self.momentum is not None
        mean, variance = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
        outputs, means, variances = [], [], []
        for part in torch.split(x, self.images):
            means.append(mean.clone())
            variances.append(variance.clone())
            outputs.append(
                F.batch_norm(part, means[-1], variances[-1], self.weight, self.bias, True, self.momentum, self.eps)
            )
        with torch.no_grad():
            mean.copy_(torch.stack(means).mean(0))
            variance.copy_(torch.stack(variances).mean(0))
            cast(Tensor, self.num_batches_tracked).add_(1)
        return torch.cat(outputs)

    def _has_kernel(self, x: Tensor) -> bool:
        return (
            len(x) % self.images == 0
            and x.numel() > 0
            and x.dtype in KERNEL_DTYPES
            and self.weight.dtype == torch.float32
            and kernel_runs(KERNELS, x.device.type)
        )

    def _kernel_forward(self, x: Tensor) -> Tensor:
        from resdet.nets.ghost_bn_triton import GhostBatchNormFunction

        cast(Tensor, self.num_batches_tracked).add_(1)
        tensors = x, self.weight, self.bias, self.running_mean, self.running_var
        settings = self.images, self.momentum, self.eps
        return cast(Tensor, GhostBatchNormFunction.apply(*tensors, settings))


def use_ghost_batches(module: nn.Module, images: int) -> nn.Module:
    """Replace every BatchNorm2d inside `module` by a GhostBatchNorm with the same statistics, in place.

    Args:
        module: a net.
        images: images per part, at least 2.

    Returns:
        `module`.

    Raises:
        UserError: fewer than 2 images.
    """
    if images < 2:
        raise UserError(f"ghost_batch is {images}: give 2 images or more, one alone has no variance at conv5")
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            ghost = GhostBatchNorm(child.num_features, images).to(child.weight)
            ghost.load_state_dict(child.state_dict())
            setattr(module, name, ghost)
        else:
            use_ghost_batches(child, images)
    return module
