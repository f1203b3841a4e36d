"""Areas, overlaps, clipping and mirroring of boxes: float (x1, y1, x2, y2) in pixels, ``x2 - x1`` is the width.

    ious = pairwise_iou(ground_truth, anchors)       # [N, G, 4], [N, A, 4] -> [N, G, A]

Every function here computes in float32 at least (bf16 and fp16 have too few bits for pixel coordinates), takes any
leading dimensions, and gives 0 instead of NaN for boxes without area.
"""

from __future__ import annotations

import torch
from torch import Tensor


def as_wide(values: Tensor) -> Tensor:
    """`values` in float32, or unchanged in float64: the precision of all box arithmetic."""
    return values if values.dtype == torch.float64 else values.float()


def area(boxes: Tensor) -> Tensor:
    """Area in square pixels, [..., 4] -> [...]; an inverted box has none."""
    x1, y1, x2, y2 = as_wide(boxes).unbind(-1)
    return (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every pair, [..., M, 4] and [..., N, 4] -> [..., M, N]; 0 where a box is empty."""
    shared = _intersection(a, b)
    return _ratio(shared, area(a)[..., :, None] + area(b)[..., None, :] - shared)


def pairwise_coverage(a: Tensor, b: Tensor) -> Tensor:
    """The share of each box of `a` that lies in each of `b`, [..., M, 4] and [..., N, 4] -> [..., M, N].

    This, not the IoU, tells whether an anchor lies in a crowd region, which may be far larger than the anchor.
    """
    return _ratio(_intersection(a, b), area(a)[..., :, None])


def mirror_within(boxes: Tensor, width: Tensor | int) -> Tensor:
    """Boxes [..., 4], left and right exchanged within [0, width], a number or a tensor that [...] broadcasts with."""
    x1, y1, x2, y2 = as_wide(boxes).unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], -1)


def clip_boxes(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Boxes cut to their image. `sizes` [..., 2] is (height, width).

    The leading dimensions of `sizes` are the first ones of `boxes`: [N, R, 4] or [N, R, K, 4] go with [N, 2],
    [R, 4] with [2].
    """
    spread = sizes.shape[:-1] + (1,) * (boxes.dim() - sizes.dim()) + (2,)
    boxes = as_wide(boxes)
    height, width = sizes.reshape(spread).to(boxes.dtype).unbind(-1)
    return torch.minimum(boxes.clamp(min=0), torch.stack([width, height, width, height], dim=-1))


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    a, b = as_wide(a)[..., :, None, :], as_wide(b)[..., None, :, :]
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    width, height = sides.clamp(min=0).unbind(-1)
    return width * height


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, 0 where either is not positive, with a finite gradient there too."""
    usable = (part > 0) & (whole > 0)
    return torch.where(usable, part / torch.where(usable, whole, 1.0), 0.0)
