"""Anchors: the reference boxes of a region proposal network (Faster R-CNN, section 3.1.1).

    generator = AnchorGenerator(scales=(128, 256, 512), ratios=(0.5, 1, 2), stride=16)
    anchors = generator(height, width, device)       # [height * width * 9, 4], pixels of the network's input

The order is (y, x, anchor): the anchor changes fastest, so a head's map [N, A, h, w] lines up with the anchors after
``map.permute(0, 2, 3, 1).reshape(N, -1)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# Images of free aspect give many shapes; the cache forgets the oldest beyond this many.
CACHED_SHAPES = 64


def anchor_shapes(scales: Sequence[float] = (128, 256, 512), ratios: Sequence[float] = (0.5, 1, 2)) -> Tensor:
    """The anchors of one position, centred on 0: [len(scales) * len(ratios), 4], the ratio changing fastest.

    `scales` are square roots of areas in pixels, `ratios` are height / width. Sides are not rounded, as in detectron2
    (py-faster-rcnn rounds them). The defaults are those of Faster R-CNN for PASCAL VOC.
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
    """`shapes` [A, 4] at every cell of a height x width map: [height * width * A, 4] in the order (y, x, anchor).

    The cell (y, x) has its anchors centred at (x * stride, y * stride): offset 0, as in detectron2. `device` defaults
    to the one of `shapes`.
    """
    shapes = shapes.to(device if device is not None else shapes.device)
    y = torch.arange(height, device=shapes.device, dtype=shapes.dtype) * stride
    x = torch.arange(width, device=shapes.device, dtype=shapes.dtype) * stride
    y, x = torch.meshgrid(y, x, indexing="ij")
    centres = torch.stack([x, y, x, y], dim=-1)  # [h, w, 4]
    return (centres[:, :, None, :] + shapes).reshape(-1, 4)


class AnchorGenerator:
    """The anchors of a map of a given shape, kept for the next image of the same shape.

    The returned tensor is shared between calls: do not write to it.
    """

    def __init__(
        self, scales: Sequence[float] = (128, 256, 512), ratios: Sequence[float] = (0.5, 1, 2), stride: int = 16
    ) -> None:
        self.shapes = anchor_shapes(scales, ratios)
        self.stride = stride
        self._cache: dict[tuple[int, int, torch.device], Tensor] = {}

    @property
    def num_anchors(self) -> int:
        """Anchors a position."""
        return len(self.shapes)

    def __call__(self, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
        """Anchors of a height x width map, [height * width * num_anchors, 4]."""
        key = (height, width, torch.device(device))
        if key in self._cache:
            return self._cache[key]
        if len(self._cache) >= CACHED_SHAPES:
            self._cache.pop(next(iter(self._cache)))
        self._cache[key] = grid_anchors(self.shapes, height, width, self.stride, device)
        return self._cache[key]


def inside_mask(anchors: Tensor, sizes: Tensor, margin: float = 0) -> Tensor:
    """True for anchors that stay inside their image, up to `margin` pixels: [..., A, 4], [..., 2] -> bool [..., A].

    `sizes` is (height, width). Faster R-CNN ignores the other anchors in training. Leading dimensions broadcast:
    anchors [A, 4] with sizes [N, 2] give [N, A].
    """
    x1, y1, x2, y2 = anchors.unbind(-1)
    height, width = sizes[..., None, :].unbind(-1)
    return (x1 >= -margin) & (y1 >= -margin) & (x2 <= width + margin) & (y2 <= height + margin)
