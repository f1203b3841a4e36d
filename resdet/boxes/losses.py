"""Losses of the proposal network and of the region head, sums over fixed slots with masks.

    objectness, box = rpn_losses(logits, deltas, targets, positive, valid, normalizer=256 * N)
    classification, box = head_losses(logits, deltas, labels, targets, valid)

All in float32 whatever the network's precision. Slots that a mask excludes add nothing to value or gradient, even if
they hold NaN; with nothing valid a loss is 0 and can still be backpropagated.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from resdet.boxes.geometry import as_wide


def smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    """Elementwise smooth L1 (Fast R-CNN, eq. 3): x^2 / (2 beta) below `beta`, |x| - beta / 2 above; beta 0 is L1.

    py-faster-rcnn's sigma is beta = 1 / sigma^2: 1 for the region head, 1/9 for the proposal network.
    """
    distance = (as_wide(prediction) - as_wide(target)).abs()
    if beta == 0:
        return distance
    return torch.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta)


def rpn_losses(
    logits: Tensor,
    deltas: Tensor,
    targets: Tensor,
    positive: Tensor,
    valid: Tensor,
    beta: float = 1 / 9,
    *,
    normalizer: float,
) -> tuple[Tensor, Tensor]:
    """(objectness, box): binary cross entropy over the valid slots, smooth L1 over the positive ones.

    `logits` [N, S], `deltas` and `targets` [N, S, 4], `positive` and `valid` bool [N, S]. Both are sums divided by the
    same fixed `normalizer`, 256 x images in the usual setting (Faster R-CNN, eq. 1, the two terms of equal weight).
    """
    positive = positive & valid
    logits = torch.where(valid, as_wide(logits), 0.0)
    objectness = F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), reduction="none")
    return (objectness * valid).sum() / normalizer, _box_loss(deltas, targets, positive, beta) / normalizer


def head_losses(
    logits: Tensor, deltas: Tensor, labels: Tensor, targets: Tensor, valid: Tensor, beta: float = 1.0
) -> tuple[Tensor, Tensor]:
    """(classification, box) of M regions, both divided by the number of valid regions, background included.

    `logits` [M, K+1] with the background last, `deltas` [M, K, 4] a box a class, `labels` int64 [M] in 0..K (K:
    background), `targets` [M, 4], `valid` bool [M]. Cross entropy over the valid regions; smooth L1 of the true class's
    deltas over the foreground (Fast R-CNN, section 2.3).
    """
    K = deltas.shape[1]
    labels = torch.where(valid, labels, K)
    count = valid.sum().clamp(min=1)
    logits = torch.where(valid[:, None], as_wide(logits), 0.0)
    classification = F.cross_entropy(logits, labels, reduction="none") * valid
    of_class = labels.clamp(max=K - 1)[:, None, None].expand(-1, 1, 4)
    box = _box_loss(deltas.gather(1, of_class).squeeze(1), targets, labels < K, beta)
    return classification.sum() / count, box / count


def _box_loss(deltas: Tensor, targets: Tensor, used: Tensor, beta: float) -> Tensor:
    """Summed smooth L1 where `used`. Masked before, not after: NaN * 0 would be NaN in the gradient."""
    used = used[..., None]
    return smooth_l1(torch.where(used, as_wide(deltas), 0.0), torch.where(used, as_wide(targets), 0.0), beta).sum()
