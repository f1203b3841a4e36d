"""The largest batch that a detector's training can have, to measure its memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from resdet.data.detection.annotations import AnnotationTable
from resdet.data.detection.loading import ResizedSample, collate_detection
from resdet.data.transforms import Resizer
from resdet.structures import Batch, Sample


def largest_batch(table: AnnotationTable, resizers: Sequence[Resizer], images: int) -> Batch:
    """Black images of the largest height and the largest width of the set, each with the most objects of an image.

    The steps at the end of an epoch mix landscapes and portraits, padded to both. Augmentations that make images larger
    than they are do not count.

    Args:
        table: the training set.
        resizers: those of the training.
        images: of the batch.
    """
    sizes = np.unique(table.sizes, axis=0).tolist()
    height, width = np.array([resizer.size(*size) for resizer in resizers for size in sizes]).max(0).tolist()
    index = int(np.diff(table.offsets).argmax())
    objects, (own_height, own_width) = table.objects(index), table.sizes[index].tolist()
    boxes = table.boxes[objects] * np.array([width / own_width, height / own_height] * 2)
    sample = Sample(
        image=torch.zeros(height, width, 3, dtype=torch.uint8),
        boxes=torch.from_numpy(boxes.astype(np.float32)),
        labels=torch.from_numpy(table.labels[objects].copy()),
        difficult=torch.from_numpy(table.difficult[objects].copy()),
        crowd=torch.from_numpy(table.crowd[objects].copy()),
        image_id="largest",
    )
    return collate_detection([ResizedSample(sample, (height, width), seed) for seed in range(images)])
