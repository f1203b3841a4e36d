"""Stages of a net that are not trained: their weights stay, and their BN is a constant.

freeze_stages(net, 2)          # conv1 and conv2, in place: no gradient is computed below conv3
"""

from __future__ import annotations

from torch import nn

from resdet.errors import UserError
from resdet.nets.frozen_bn import freeze_batch_norm


def freeze_stages(net: nn.Module, count: int) -> tuple[str, ...]:
    """Freeze conv1 to conv{count} of a ResNet or VGG, in place. Returns their names.

    Raises:
        UserError: the net has no such stage.
    """
    if not 0 <= count <= 5:
        raise UserError(f"frozen_stages is {count}: the net has conv1 to conv5")
    names = tuple(f"conv{stage}" for stage in range(1, count + 1))
    for name in names:
        freeze_batch_norm(getattr(net, name)).requires_grad_(False)
    return names
