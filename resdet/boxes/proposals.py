"""From the RPN's outputs to proposals: top-k, decode, clip, NMS.

proposals = select_proposals(logits, deltas, anchors, sizes, pre_nms=6000, post_nms=300)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from resdet.boxes.coding import decode
from resdet.boxes.geometry import at_least_float32, clip_boxes, gather_boxes
from resdet.boxes.nms import nms


class Proposals(NamedTuple):
    """The same number R of proposals for each image, by descending score; padding has a zero box and score -inf."""

    boxes: Tensor  # float32 [N, R, 4], in the pixels of the anchors
    scores: Tensor  # float32 [N, R], logits
    valid: Tensor  # bool [N, R], False in padding


@torch.no_grad()
def select_proposals(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    sizes: Tensor,
    pre_nms: int = 6000,
    post_nms: int = 300,
    nms_iou: float = 0.7,
    min_size: float = 0.0,
) -> Proposals:
    """The best proposals of each image (Faster R-CNN, section 3.3).

    No gradient flows back: in approximate joint training a proposal is a constant for the head.

    Args:
        logits: [N, A], objectness of all anchors.
        deltas: [N, A, 4].
        anchors: [N or 1, A, 4].
        sizes: [N, 2], (height, width) of the images, in the pixels of the anchors.
        pre_nms: anchors with the highest logits that are decoded; 6000 in the paper at test.
        post_nms: proposals kept per image after NMS; 300 in the paper at test.
        nms_iou: IoU threshold of NMS on the proposals.
        min_size: in pixels; boxes with a side of at most this after clipping are dropped, as are boxes with a
            coordinate or score that is not finite.

    Returns:
        post_nms slots per image.
    """
    scores, index = at_least_float32(logits).topk(min(pre_nms, logits.shape[1]), dim=1)
    boxes = decode(gather_boxes(deltas, index), gather_boxes(anchors.expand(len(logits), -1, -1), index))
    boxes = clip_boxes(boxes, sizes)
    sides = boxes[..., 2:] - boxes[..., :2]
    # Comparisons with NaN are False: such boxes are dropped too.
    valid = (sides > min_size).all(dim=-1) & boxes.isfinite().all(dim=-1) & scores.isfinite()
    # Dropped boxes become empty with score -inf: they suppress nothing and come last, without a host sync.
    boxes = torch.where(valid[..., None], boxes, 0.0)
    scores = torch.where(valid, scores, -torch.inf)
    return _best(Proposals(boxes, scores, valid), nms_iou, post_nms)


@torch.no_grad()
def merge_proposals(found: Sequence[Proposals], nms_iou: float, count: int) -> Proposals:
    """Merge proposals for the same images (from several scales or nets): NMS on all of them, the best `count` are kept.

    Args:
        found: each with [N, R_i, 4] boxes, in the same pixels.
        nms_iou: IoU threshold of NMS.
        count: slots per image of the result.
    """
    return _best(Proposals(*(torch.cat(parts, 1) for parts in zip(*found, strict=True))), nms_iou, count)


def _best(found: Proposals, nms_iou: float, count: int) -> Proposals:
    keep, kept = _suppress(found.boxes, found.scores, nms_iou, count)
    valid = found.valid.gather(1, keep) & kept
    boxes = torch.where(valid[..., None], gather_boxes(found.boxes, keep), 0.0)
    return Proposals(boxes, torch.where(valid, found.scores.gather(1, keep), -torch.inf), valid)


def _suppress(boxes: Tensor, scores: Tensor, iou: float, count: int) -> tuple[Tensor, Tensor]:
    """NMS per image into `count` slots: (index int64 [N, count], filled bool [N, count])."""
    index = torch.zeros(len(boxes), count, dtype=torch.int64, device=boxes.device)
    filled = torch.zeros_like(index, dtype=torch.bool)
    for i in range(len(boxes)):
        keep = nms(boxes[i], scores[i], iou, count)
        index[i, : len(keep)] = keep
        filled[i, : len(keep)].fill_(True)  # an assignment would copy a tensor from the host (torch 2.14)
    return index, filled
