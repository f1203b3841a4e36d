"""Anchors of a region proposal network (Faster R-CNN, section 3.1.1).

    generator = AnchorGenerator(scales=(128, 256, 512), ratios=(0.5, 1, 2), stride=16)
    anchors = generator(height, width, device)       # [height * width * 9, 4], pixels of the network's input

Anchors are ordered by (y, x, anchor), the last changing fastest. An RPN output [N, A, h, w] has the same order after
``output.permute(0, 2, 3, 1).reshape(N, -1)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

CACHED_SHAPES = 64  # images of different aspect ratios give many map shapes; with more of them the oldest is dropped


def anchor_shapes(scales: Sequence[float] = (128, 256, 512), ratios: Sequence[float] = (0.5, 1, 2)) -> Tensor:
    """The anchors of one position, centred on 0.

    Args:
        scales: square roots of the areas, in pixels; the defaults are Faster R-CNN's for PASCAL VOC.
        ratios: height / width.

    Returns:
        float32 [len(scales) * len(ratios), 4], the ratio changing fastest. Sides are not rounded, as in detectron2;
        py-faster-rcnn rounds them.
    """
    boxes = []
    for scale in scales:
        for ratio in ratios:
            w = math.sqrt(scale**2 / ratio)
            h = ratio * w
            boxes.append([-w / 2, -h / 2, w / 2, h / 2])
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def grid_anchors(
    shapes: Tensor, height: int, width: int, stride: int = 16, device: torch.device | str | None = None
) -> Tensor:
    """Place the anchors of one position at every cell of a map.

    Args:
        shapes: [A, 4], centred on 0, from `anchor_shapes`.
        height, width: cells of the map.
        stride: pixels per cell. The anchors of cell (y, x) are centred at pixel (x * stride, y * stride), detectron2's
            offset 0.
        device: of the result; None: that of `shapes`.

    Returns:
        [height * width * A, 4] in the order (y, x, anchor).
    """
    shapes = shapes.to(device if device is not None else shapes.device)
    y = torch.arange(height, device=shapes.device, dtype=shapes.dtype) * stride
    x = torch.arange(width, device=shapes.device, dtype=shapes.dtype) * stride
    y, x = torch.meshgrid(y, x, indexing="ij")
    centres = torch.stack([x, y, x, y], dim=-1)  # [h, w, 4]
    return (centres[:, :, None, :] + shapes).reshape(-1, 4)


class AnchorGenerator:
    """Anchors of feature maps, cached per map shape and device.

    Calls with the same shape return the same tensor: do not write to it.

    Args:
        scales, ratios: as in `anchor_shapes`.
        stride: pixels per cell.
    """

    def __init__(
        self, scales: Sequence[float] = (128, 256, 512), ratios: Sequence[float] = (0.5, 1, 2), stride: int = 16
    ) -> None:
        self.shapes = anchor_shapes(scales, ratios)
        self.stride = stride
        self._cache: dict[tuple[int, int, torch.device], Tensor] = {}

    @property
    def num_anchors(self) -> int:
        """Anchors per cell of the map."""
        return len(self.shapes)

    def __call__(self, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
        """The anchors of a height x width map: [height * width * num_anchors, 4] in the order (y, x, anchor)."""
        key = (height, width, torch.device(device))
        if key in self._cache:
            return self._cache[key]
        if len(self._cache) >= CACHED_SHAPES:
            self._cache.pop(next(iter(self._cache)))
        self._cache[key] = grid_anchors(self.shapes, height, width, self.stride, device)
        return self._cache[key]


def inside_mask(anchors: Tensor, sizes: Tensor, margin: float = 0) -> Tensor:
    """Mask of the anchors inside their image; Faster R-CNN ignores the others in training (section 3.3).

    Args:
        anchors: [..., A, 4].
        sizes: [..., 2], (height, width) of the image; leading dimensions broadcast with those of `anchors`.
        margin: pixels that an anchor may reach over the border.

    Returns:
        bool [..., A]; anchors [A, 4] with sizes [N, 2] give [N, A].
    """
    x1, y1, x2, y2 = anchors.unbind(-1)
    height, width = sizes[..., None, :].unbind(-1)
    return (x1 >= -margin) & (y1 >= -margin) & (x2 <= width + margin) & (y2 <= height + margin)
