"""Non-maximum suppression: of one set of boxes, and of a detector's classes each on its own.

    boxes, scores, labels = multiclass_nms(boxes, scores, score_floor=0.05, iou=0.5)

The numbers of boxes that survive depend on the data, so these two functions wait for the device; nothing else in
`resdet.boxes` does but `select_proposals`, which calls `nms`.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

from resdet.boxes.geometry import as_wide


def nms(boxes: Tensor, scores: Tensor, iou: float, count: int | None = None) -> Tensor:
    """Indices of the boxes to keep, by falling score: int64 [D], the first `count` of them (None: all).

    `boxes` [M, 4], `scores` [M]. A box goes when its IoU with a kept one of higher score is above `iou` (equal stays).
    Whether it stays depends on better boxes alone, so that few are found among the best, without a look at the rest.
    """
    boxes, scores = as_wide(boxes), as_wide(scores)
    if count is None:
        return torchvision.ops.nms(boxes, scores, iou)
    order, looked_at = scores.argsort(stable=True, descending=True), 4 * count
    while True:
        best = order[:looked_at]
        keep = torchvision.ops.nms(boxes[best], scores[best], iou)
        if len(keep) >= count or looked_at >= len(order):
            return best[keep[:count]]
        looked_at *= 4


@torch.no_grad()
def multiclass_nms(
    boxes: Tensor, scores: Tensor, score_floor: float = 0.05, iou: float = 0.5, max_detections: int = 100
) -> tuple[Tensor, Tensor, Tensor]:
    """The detections of one image: (boxes [D, 4], scores [D], labels int64 [D]) by falling score.

    `boxes` [R, K, 4] a box a class, `scores` [R, K] without the background. Keeps scores above `score_floor`,
    suppresses within each class, then keeps the best `max_detections` over all classes. Regions with a coordinate or
    score that is not finite are dropped. Same result as detectron2's `fast_rcnn_inference_single_image`.

    The classes are told apart by a loop, not by shifting each class's coordinates (torchvision's `batched_nms`):
    shifted float32 coordinates lose the bits that decide close IoUs, and boxes of all classes would be compared.
    """
    boxes, scores = as_wide(boxes), as_wide(scores)
    sound = boxes.isfinite().all(dim=2).all(dim=1) & scores.isfinite().all(dim=1)
    # Transposed, so that nonzero() lists the candidates class by class.
    labels, regions = ((scores > score_floor) & sound[:, None]).T.nonzero(as_tuple=True)
    boxes, scores = boxes[regions, labels], scores[regions, labels]
    keep = _nms_by_class(boxes, scores, labels, iou)
    keep = keep[scores[keep].argsort(descending=True, stable=True)[:max_detections]]
    return boxes[keep], scores[keep], labels[keep]


def _nms_by_class(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Indices that survive in their class; `labels` [M] ascend."""
    counts = [count for count in labels.bincount().tolist() if count]
    start, keep = 0, [labels.new_empty(0)]
    for part, part_scores in zip(boxes.split(counts), scores.split(counts), strict=True):
        keep.append(nms(part, part_scores, iou) + start)
        start += len(part)
    return torch.cat(keep)
