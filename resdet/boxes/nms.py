"""Non-maximum suppression of one set of boxes, and per class of a detector's outputs.

    boxes, scores, labels = multiclass_nms(boxes, scores, score_floor=0.05, iou=0.5)

The number of boxes kept depends on the data, so the host waits for the device here. In the rest of `resdet.boxes` it
waits only in functions that call `nms`, and in Soft-NMS.
"""

from __future__ import annotations

import torch
from torch import Tensor

from resdet.boxes.compiled_operators import load_operators
from resdet.boxes.geometry import at_least_float32


def nms(boxes: Tensor, scores: Tensor, iou: float, count: int | None = None) -> Tensor:
    """Remove every box whose IoU with a kept box of higher score is above `iou`.

    Args:
        boxes: [M, 4].
        scores: [M].
        iou: threshold; a box with exactly this IoU is kept.
        count: return the best `count` boxes only; None: all. Whether a box is kept depends only on boxes of higher
            score, so for a small `count` only the best boxes are compared, which saves time.

    Returns:
        Indices of the kept boxes by descending score, int64 [D].
    """
    load_operators(boxes)
    boxes, scores = at_least_float32(boxes), at_least_float32(scores)
    if count is None:
        keep: Tensor = torch.ops.torchvision.nms(boxes, scores, iou)
        return keep
    order, looked_at = scores.argsort(stable=True, descending=True), 4 * count
    while True:
        best = order[:looked_at]
        keep = torch.ops.torchvision.nms(boxes[best], scores[best], iou)
        if len(keep) >= count or looked_at >= len(order):
            return best[keep[:count]]
        looked_at *= 4


@torch.no_grad()
def multiclass_nms(
    boxes: Tensor, scores: Tensor, score_floor: float = 0.05, iou: float = 0.5, max_detections: int = 100
) -> tuple[Tensor, Tensor, Tensor]:
    """The detections of one image: NMS within each class, then the best over all classes.

    Same result as detectron2's `fast_rcnn_inference_single_image`. Classes are processed in a loop. torchvision's
    `batched_nms` instead shifts the coordinates of each class, which in float32 loses the bits that decide close IoUs,
    and compares boxes of different classes.

    Args:
        boxes: [R, K, 4], one box per region and class. Regions with a coordinate or score that is not finite are
            dropped.
        scores: [R, K], without the background.
        score_floor: scores at or below it are dropped before NMS.
        iou: threshold of NMS.
        max_detections: detections kept per image.

    Returns:
        (boxes [D, 4], scores [D], labels int64 [D]) by descending score.
    """
    boxes, scores = at_least_float32(boxes), at_least_float32(scores)
    sound = boxes.isfinite().all(dim=2).all(dim=1) & scores.isfinite().all(dim=1)
    # Transposed, so that nonzero() lists the candidates sorted by class.
    labels, regions = ((scores > score_floor) & sound[:, None]).T.nonzero(as_tuple=True)
    boxes, scores = boxes[regions, labels], scores[regions, labels]
    # On the CPU: a GPU would run a kernel for each class, and the host would wait for each.
    keep = _nms_by_class(boxes.cpu(), scores.cpu(), labels.cpu(), iou).to(boxes.device)
    keep = keep[scores[keep].argsort(descending=True, stable=True)[:max_detections]]
    return boxes[keep], scores[keep], labels[keep]


def _nms_by_class(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Indices of the boxes kept in their class; `labels` [M] are sorted."""
    counts = [count for count in labels.bincount().tolist() if count]
    start, keep = 0, [labels.new_empty(0)]
    for part, part_scores in zip(torch.split(boxes, counts), torch.split(scores, counts), strict=True):
        keep.append(nms(part, part_scores, iou) + start)
        start += len(part)
    return torch.cat(keep)
