"""Freeze the first stages of a net: their weights get no gradient, their BN is frozen.

freeze_stages(net, 2)          # conv1 and conv2, in place: the backward pass ends at conv3
"""

from __future__ import annotations

from resdet.errors import UserError
from resdet.nets.backbone import Backbone
from resdet.nets.frozen_bn import freeze_batch_norm


def freeze_stages(net: Backbone, count: int) -> tuple[str, ...]:
    """Freeze conv1 to conv{count} of a backbone, in place.

    Args:
        net: its BN in these stages becomes constant, its weights there get no gradient.
        count: 0 to 5; 0 freezes nothing.

    Returns:
        The names of the frozen stages.

    Raises:
        UserError: `count` is out of range.
    """
    if not 0 <= count <= 5:
        raise UserError(f"frozen_stages is {count}: the net has conv1 to conv5")
    names = tuple(f"conv{stage}" for stage in range(1, count + 1))
    for name in names:
        freeze_batch_norm(getattr(net, name)).requires_grad_(False)
    return names
