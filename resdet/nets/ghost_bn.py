"""Batch normalization over parts of a batch: what each GPU of several saw.

ImageNet's 256 images lay on the authors' eight GPUs, so that BN saw 32 at a time, CIFAR's 128 on two, 64 at a time
(Sect. 3.4, 4.2). One device that takes them all at once normalises over a larger batch, unless it is told to.

    use_ghost_batches(net, images=32)      # BatchNorm2d -> GhostBatchNorm, in place, names and statistics kept
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.errors import UserError


class GhostBatchNorm(nn.BatchNorm2d):
    """In training every `images` images are normalised by themselves; what is left of a batch as well.

    The running averages follow the mean of the parts' statistics. At test it is a BatchNorm2d.
    """

    def __init__(self, channels: int, images: int) -> None:
        super().__init__(channels)
        self.images = images

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W]."""
        if not self.training or len(x) <= self.images:
            return super().forward(x)
        assert self.momentum is not None
        mean, variance = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
        outputs, means, variances = [], [], []
        for part in x.split(self.images):
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


def use_ghost_batches(module: nn.Module, images: int) -> nn.Module:
    """Let every BatchNorm2d below `module`, in place, normalise over at most `images` images at a time in training."""
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
