"""Deltas of box regression (R-CNN, appendix C; Fast R-CNN, section 2.3).

    deltas = encode(boxes, anchors)        # the regression target
    boxes = decode(deltas, anchors)        # the box that predicted deltas describe

Deltas are (dx, dy, dw, dh): the shift of the centre divided by the anchor's width and height, and the log of the ratio
of widths and heights, each multiplied by its weight.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from resdet.boxes.geometry import at_least_float32

DeltaWeights = tuple[float, float, float, float]  # of dx, dy, dw, dh

# Bound on dw and dh, Detectron's BBOX_XFORM_CLIP: a box grows at most 1000 / 16 times, from one stride to the side of a
# large image. It keeps exp() finite for the large deltas of an untrained net.
MAX_LOG_RATIO = math.log(1000.0 / 16)
MIN_SIDE = 1e-3  # pixels; shorter sides are taken as this long in divisions and logarithms


def encode(boxes: Tensor, anchors: Tensor, weights: DeltaWeights = (1, 1, 1, 1)) -> Tensor:
    """The deltas [..., 4] from `anchors` [..., 4] to `boxes` [..., 4].

    `weights` multiply dx, dy, dw, dh. The result is finite, also for boxes without area.
    """
    x, y, w, h = _centre_form(boxes)
    ax, ay, aw, ah = _centre_form(anchors)
    w, h, aw, ah = (side.clamp(min=MIN_SIDE) for side in (w, h, aw, ah))
    wx, wy, ww, wh = weights
    deltas = [wx * (x - ax) / aw, wy * (y - ay) / ah, ww * torch.log(w / aw), wh * torch.log(h / ah)]
    return torch.stack(deltas, dim=-1)


def decode(
    deltas: Tensor, anchors: Tensor, weights: DeltaWeights = (1, 1, 1, 1), clamp: float = MAX_LOG_RATIO
) -> Tensor:
    """Boxes from deltas and anchors: the inverse of `encode`.

    Args:
        deltas: [..., 4].
        anchors: [..., 4], broadcast with `deltas`: [R, 1, 4] for [R, K, 4].
        weights: those of `encode`.
        clamp: upper bound on dw and dh, after division by their weights.

    Returns:
        Boxes [..., 4], float32 (float64 for float64 inputs).
    """
    ax, ay, aw, ah = _centre_form(anchors)
    wx, wy, ww, wh = weights
    dx, dy, dw, dh = at_least_float32(deltas).unbind(-1)
    x, y = dx / wx * aw + ax, dy / wy * ah + ay
    half_w = 0.5 * torch.exp((dw / ww).clamp(max=clamp)) * aw
    half_h = 0.5 * torch.exp((dh / wh).clamp(max=clamp)) * ah
    return torch.stack([x - half_w, y - half_h, x + half_w, y + half_h], dim=-1)


def _centre_form(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(centre x, centre y, width, height), each [...], of boxes [..., 4]."""
    x1, y1, x2, y2 = at_least_float32(boxes).unbind(-1)
    w, h = x2 - x1, y2 - y1
    return x1 + 0.5 * w, y1 + 0.5 * h, w, h
