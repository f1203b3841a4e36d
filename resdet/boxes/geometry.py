"""Area, IoU, clipping, mirroring and selection of boxes.

    ious = pairwise_iou(ground_truth, anchors)       # [N, G, 4], [N, A, 4] -> [N, G, A]

Boxes are float (x1, y1, x2, y2) in pixels; ``x2 - x1`` is the width, without "+ 1". Every function but
`gather_boxes` takes any leading dimensions and computes in float32 or float64: bf16 and fp16 have too few bits for
pixel coordinates. The IoU of boxes without area is 0, never NaN.

A large [..., M, N] result is computed a few rows at a time (`row_parts`), which needs little more memory than the
result and keeps temporary arrays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

PART = {"cpu": 2**19}  # elements of a pairwise matrix that are computed at a time: several such arrays fit into a cache
GPU_PART = 2**24


def at_least_float32(values: Tensor) -> Tensor:
    """`values` as float32; float64 stays float64."""
    return values if values.dtype == torch.float64 else values.float()


def area(boxes: Tensor) -> Tensor:
    """Area in square pixels, [..., 4] -> [...]; 0 for a box with x2 < x1 or y2 < y1."""
    x1, y1, x2, y2 = at_least_float32(boxes).unbind(-1)
    return (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of every pair, [..., M, 4] and [..., N, 4] -> [..., M, N] in 0..1; 0 for boxes without area."""
    return _in_parts(_iou, a, b)


def pairwise_coverage(regions: Tensor, boxes: Tensor) -> Tensor:
    """Share of each box's area inside each region (IoA), [..., M, 4] and [..., N, 4] -> [..., M, N] in 0..1.

    For crowd regions: a crowd region can be far larger than the anchors inside it, whose IoU with it is then small.
    """
    return _in_parts(_coverage, regions, boxes)


def row_parts(rows: int, row_elements: int, device: torch.device) -> Iterator[slice]:
    """Slices of `rows` rows of a matrix with `row_elements` per row, each of them at most PART elements, or one row."""
    size = max(1, PART.get(device.type, GPU_PART) // max(1, row_elements))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def mirror_within(boxes: Tensor, width: Tensor | int) -> Tensor:
    """Mirror boxes [..., 4] horizontally in an image of `width` pixels: a number, or a tensor broadcast to [...]."""
    x1, y1, x2, y2 = at_least_float32(boxes).unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], -1)


def gather_boxes(boxes: Tensor, index: Tensor) -> Tensor:
    """The boxes, or deltas, [N, A, 4] at `index` int64 [N, R]: [N, R, 4]."""
    return boxes.gather(1, index[..., None].expand(-1, -1, 4))


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


def _iou(a: Tensor, b: Tensor) -> Tensor:
    shared = _intersection(a, b)
    return _ratio(shared, (area(a)[..., :, None] + area(b)[..., None, :]).sub_(shared))


def _coverage(regions: Tensor, boxes: Tensor) -> Tensor:
    return _ratio(_intersection(regions, boxes), area(boxes)[..., None, :])


def _in_parts(function: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """function(a, b) [..., M, N], a few rows at a time."""
    a, b = at_least_float32(a), at_least_float32(b)
    leading: torch.Size = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])  # type: ignore[no-untyped-call]
    parts = list(row_parts(a.shape[-2], leading.numel() * b.shape[-2], a.device))
    if len(parts) < 2:
        return function(a, b)
    result = torch.empty(*leading, a.shape[-2], b.shape[-2], dtype=torch.result_type(a, b), device=a.device)
    for rows in parts:
        result[..., rows, :] = function(a[..., rows, :], b)
    return result


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    # Each coordinate by itself and contiguous: several times faster on a CPU than pairs of them.
    ax1, ay1, ax2, ay2 = (x[..., :, None] for x in a.unbind(-1))
    bx1, by1, bx2, by2 = (x.contiguous()[..., None, :] for x in b.unbind(-1))
    width = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)
    height = torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)
    return width.mul_(height)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, which is at least as large; 0, with a finite gradient, where either is not positive."""
    if not part.requires_grad:
        return part.div_(whole).nan_to_num_(0.0)  # 0 / 0, and what is not finite; three times as fast as below
    usable = (part > 0) & (whole > 0)
    return torch.where(usable, part / torch.where(usable, whole, 1.0), 0.0)
