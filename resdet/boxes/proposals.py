"""From the maps of a proposal network to its proposals: top-k, decode, clip, NMS, fixed slots.

proposals = select_proposals(logits, deltas, anchors, sizes, pre_nms=6000, post_nms=300)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from resdet.boxes.coding import decode
from resdet.boxes.geometry import as_wide, clip_boxes
from resdet.boxes.nms import nms


class Proposals(NamedTuple):
    """A fixed number of proposals an image, by falling score; padding has a zero box and score -inf."""

    boxes: Tensor  # float32 [N, R, 4], pixels of the anchors
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
    """The best `post_nms` proposals of each image (Faster R-CNN, section 3.1; 6000 -> 300 at test in the paper).

    `logits` [N, A], `deltas` [N, A, 4], `anchors` [N or 1, A, 4], `sizes` [N, 2] (height, width) of the images in the
    anchors' pixels. Only the `pre_nms` best anchors are decoded. Boxes with a side of at most `min_size` pixels after
    clipping, or with a number that is not finite, are dropped. No gradient passes: a proposal is data to the head.
    """
    scores, index = as_wide(logits).topk(min(pre_nms, logits.shape[1]), dim=1)
    boxes = decode(_rows(deltas, index), _rows(anchors.expand(len(logits), -1, -1), index))
    boxes = clip_boxes(boxes, sizes)
    sides = boxes[..., 2:] - boxes[..., :2]
    # A comparison with NaN is False, so that these go as well.
    valid = (sides > min_size).all(dim=-1) & boxes.isfinite().all(dim=-1) & scores.isfinite()
    # Empty boxes of score -inf suppress nothing and come last: what is dropped costs no host sync.
    boxes = torch.where(valid[..., None], boxes, 0.0)
    scores = torch.where(valid, scores, -torch.inf)
    return _best(Proposals(boxes, scores, valid), nms_iou, post_nms)


@torch.no_grad()
def unite_proposals(found: Sequence[Proposals], nms_iou: float, count: int) -> Proposals:
    """Proposals of the same images from several sources as one set: the best `count` after NMS among all of them."""
    return _best(Proposals(*(torch.cat(parts, 1) for parts in zip(*found, strict=True))), nms_iou, count)


def _best(found: Proposals, nms_iou: float, count: int) -> Proposals:
    keep, kept = _suppress(found.boxes, found.scores, nms_iou, count)
    valid = found.valid.gather(1, keep) & kept
    boxes = torch.where(valid[..., None], _rows(found.boxes, keep), 0.0)
    return Proposals(boxes, torch.where(valid, found.scores.gather(1, keep), -torch.inf), valid)


def _suppress(boxes: Tensor, scores: Tensor, iou: float, count: int) -> tuple[Tensor, Tensor]:
    """NMS of each image into `count` slots: (index int64 [N, count], bool [N, count] where a slot is filled)."""
    index = torch.zeros(len(boxes), count, dtype=torch.int64, device=boxes.device)
    filled = torch.zeros_like(index, dtype=torch.bool)
    for i in range(len(boxes)):
        keep = nms(boxes[i], scores[i], iou, count)
        index[i, : len(keep)] = keep
        filled[i, : len(keep)].fill_(True)  # an assignment of True makes a tensor of it first, on torch 2.14
    return index, filled


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """values [N, A, 4] at index [N, R] -> [N, R, 4]."""
    return values.gather(1, index[..., None].expand(-1, -1, 4))
