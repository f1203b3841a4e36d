"""The parametrisation of box regression (R-CNN, appendix C; Fast R-CNN, section 2.3).

    deltas = encode(boxes, anchors)        # what a regressor has to learn
    boxes = decode(deltas, anchors)        # what its answer means

A delta is (dx, dy, dw, dh): the shift of the centre in units of the anchor's size and the log of the ratio of sizes,
each times its weight.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from resdet.boxes.geometry import as_wide

Weights = tuple[float, float, float, float]

# exp(dw) at most 1000 / 16: a box as wide as a large image from an anchor of one stride. The released Detectron's
# constant; it keeps exp() finite when an untrained net gives wild deltas.
MAX_LOG_RATIO = math.log(1000.0 / 16)
# A thousandth of a pixel: sides are at least this long where one divides by them or takes their log.
MIN_SIDE = 1e-3


def encode(boxes: Tensor, anchors: Tensor, weights: Weights = (1, 1, 1, 1)) -> Tensor:
    """Deltas that turn `anchors` into `boxes`, both [..., 4] -> [..., 4]; finite for degenerate boxes too."""
    x, y, w, h = _centre_form(boxes)
    ax, ay, aw, ah = _centre_form(anchors)
    w, h, aw, ah = (side.clamp(min=MIN_SIDE) for side in (w, h, aw, ah))
    wx, wy, ww, wh = weights
    deltas = [wx * (x - ax) / aw, wy * (y - ay) / ah, ww * torch.log(w / aw), wh * torch.log(h / ah)]
    return torch.stack(deltas, dim=-1)


def decode(deltas: Tensor, anchors: Tensor, weights: Weights = (1, 1, 1, 1), clamp: float = MAX_LOG_RATIO) -> Tensor:
    """Boxes from `deltas` relative to `anchors`; the two broadcast, so [R, K, 4] goes with [R, 1, 4].

    `clamp` bounds dw and dh from above before exp().
    """
    ax, ay, aw, ah = _centre_form(anchors)
    wx, wy, ww, wh = weights
    dx, dy, dw, dh = as_wide(deltas).unbind(-1)
    x, y = dx / wx * aw + ax, dy / wy * ah + ay
    half_w = 0.5 * torch.exp((dw / ww).clamp(max=clamp)) * aw
    half_h = 0.5 * torch.exp((dh / wh).clamp(max=clamp)) * ah
    return torch.stack([x - half_w, y - half_h, x + half_w, y + half_h], dim=-1)


def _centre_form(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = as_wide(boxes).unbind(-1)
    w, h = x2 - x1, y2 - y1
    return x1 + 0.5 * w, y1 + 0.5 * h, w, h
