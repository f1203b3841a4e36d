"""Losses of the RPN and of the region head.

    objectness, box = rpn_losses(logits, deltas, targets, positive, valid, normalizer=256 * N)
    classification, box = head_losses(logits, deltas, labels, targets, valid)

Both take a fixed number of slots with masks, so that shapes do not depend on the data, and compute in float32 whatever
the network's precision. Masked slots add nothing to the loss or its gradient, even if they hold NaN. Without valid
slots the loss and its gradient are 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from resdet.boxes.geometry import at_least_float32


def smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    """Elementwise smooth L1 (Fast R-CNN, eq. 3): x^2 / (2 beta) for |x| < beta, else |x| - beta / 2; beta 0 is L1.

    beta is 1 / sigma^2 with py-faster-rcnn's sigma: 1 for the region head, 1/9 for the RPN.
    """
    distance = (at_least_float32(prediction) - at_least_float32(target)).abs()
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
    """Binary cross entropy over the valid anchors and smooth L1 over the positive ones (Faster R-CNN, eq. 1).

    Args:
        logits: [N, S], objectness of the S sampled anchors of each image.
        deltas, targets: [N, S, 4], predicted and wanted.
        positive: bool [N, S], True for anchors that are matched with an object.
        valid: bool [N, S], False in padding.
        beta: of smooth L1; 1/9 is py-faster-rcnn's.
        normalizer: both sums are divided by it; sampled anchors per image times images, as in detectron2. Faster
            R-CNN's eq. 1 has two normalizers and a weight of 10, which makes them about equal.

    Returns:
        (objectness loss, box loss), scalars of equal weight.
    """
    positive = positive & valid
    logits = torch.where(valid, at_least_float32(logits), 0.0)
    objectness = F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), reduction="none")
    return (objectness * valid).sum() / normalizer, _box_loss(deltas, targets, positive, beta) / normalizer


def head_losses(
    logits: Tensor, deltas: Tensor, labels: Tensor, targets: Tensor, valid: Tensor, beta: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Cross entropy over the valid regions and smooth L1 over the foreground (Fast R-CNN, section 2.3).

    Args:
        logits: [M, K+1], background last.
        deltas: [M, K, 4], one set per class; only those of the region's class are used.
        labels: int64 [M] in 0..K; K is background.
        targets: [M, 4], wanted deltas; ignored for background.
        valid: bool [M], False in padding.
        beta: of smooth L1.

    Returns:
        (classification loss, box loss), scalars, both divided by the number of valid regions, background included.
    """
    K = deltas.shape[1]
    labels = torch.where(valid, labels, K)
    count = valid.sum().clamp(min=1)
    logits = torch.where(valid[:, None], at_least_float32(logits), 0.0)
    classification = F.cross_entropy(logits, labels, reduction="none") * valid
    of_class = labels.clamp(max=K - 1)[:, None, None].expand(-1, 1, 4)
    box = _box_loss(deltas.gather(1, of_class).squeeze(1), targets, labels < K, beta)
    return classification.sum() / count, box / count


def _box_loss(deltas: Tensor, targets: Tensor, used: Tensor, beta: float) -> Tensor:
    """Sum of smooth L1 where `used`. The inputs are masked, not the result: the gradient of NaN * 0 is NaN."""
    used = used[..., None]
    return smooth_l1(
        torch.where(used, at_least_float32(deltas), 0.0), torch.where(used, at_least_float32(targets), 0.0), beta
    ).sum()
