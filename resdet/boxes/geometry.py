"""Area, IoU, clipping and mirroring of boxes.

    ious = pairwise_iou(ground_truth, anchors)       # [N, G, 4], [N, A, 4] -> [N, G, A]

Boxes are float (x1, y1, x2, y2) in pixels; ``x2 - x1`` is the width, without "+ 1". Every function takes any leading
dimensions and computes in float32 or float64: bf16 and fp16 have too few bits for pixel coordinates. Boxes without area
give 0, never NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """`values` as float32; float64 stays float64."""
    return values if values.dtype == torch.float64 else values.float()


def area(boxes: Tensor) -> Tensor:
    """Area in square pixels, [..., 4] -> [...]; 0 for a box with x2 < x1 or y2 < y1."""
    x1, y1, x2, y2 = at_least_float32(boxes).unbind(-1)
    return (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of every pair, [..., M, 4] and [..., N, 4] -> [..., M, N] in 0..1; 0 for boxes without area."""
    shared = _intersection(a, b)
    return _ratio(shared, area(a)[..., :, None] + area(b)[..., None, :] - shared)


def pairwise_coverage(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over the area of `a` (IoA) of every pair, [..., M, 4] and [..., N, 4] -> [..., M, N] in 0..1.

    For crowd regions: one can be far larger than the anchors in it, so that their IoU with it is small.
    """
    return _ratio(_intersection(a, b), area(a)[..., :, None])


def mirror_within(boxes: Tensor, width: Tensor | int) -> Tensor:
    """Mirror boxes [..., 4] horizontally in an image of `width` pixels: a number, or a tensor broadcast to [...]."""
    x1, y1, x2, y2 = at_least_float32(boxes).unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], -1)


def clip_boxes(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Clip boxes to their image.

    Args:
        boxes: [..., 4].
        sizes: (height, width) of the images; its leading dimensions are the first ones of `boxes`: [N, 2] for
            [N, R, 4] or [N, R, K, 4], [2] for [R, 4].

    Returns:
        The clipped boxes, of the shape of `boxes`.
    """
    spread = sizes.shape[:-1] + (1,) * (boxes.dim() - sizes.dim()) + (2,)
    boxes = at_least_float32(boxes)
    height, width = sizes.reshape(spread).to(boxes.dtype).unbind(-1)
    return torch.minimum(boxes.clamp(min=0), torch.stack([width, height, width, height], dim=-1))


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    a, b = at_least_float32(a)[..., :, None, :], at_least_float32(b)[..., None, :, :]
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    width, height = sides.clamp(min=0).unbind(-1)
    return width * height


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole; 0, with a finite gradient, where either is not positive."""
    usable = (part > 0) & (whole > 0)
    return torch.where(usable, part / torch.where(usable, whole, 1.0), 0.0)
