"""The batch whose memory `--auto-images` measures is as large as any of the training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from resdet.data.detection.annotations import Annotation, AnnotationTable, DetectionDataset
from resdet.data.detection.loading import detection_loader
from resdet.data.sampling import TrainSampler, aspect_groups
from resdet.data.transforms import Resizer
from resdet.recipes.detection.largest_batch import largest_batch


def test_no_batch_of_the_training_is_larger(tmp_path: Path) -> None:
    """Landscapes and portraits, which the last steps of an epoch mix, at two training scales."""
    shapes, random = [(60, 90), (60, 90), (60, 90), (64, 80), (90, 60), (50, 50)], np.random.default_rng(0)
    annotations = []
    for i, (height, width) in enumerate(shapes):
        cv2.imwrite(str(tmp_path / f"{i}.png"), random.integers(0, 256, (height, width, 3)).astype(np.uint8))
        boxes = np.array([[1.0, 2.0, 20.0 + k, 30.0] for k in range(2 * i)])
        annotations.append(Annotation(str(tmp_path / f"{i}.png"), str(i), (height, width), boxes, np.zeros(2 * i)))
    table, resizers = AnnotationTable(annotations), [Resizer(64, 100), Resizer(48, 75)]
    largest = largest_batch(table, resizers, 2)
    assert (largest.images.shape, largest.boxes.shape) == ((2, 3, 96, 96), (2, 10, 4))
    assert (largest.boxes[:, :, 2:] <= 96).all()
    sampler = TrainSampler(6, 2, 0, aspect_groups(table.aspect_ratios()))
    loader = detection_loader(DetectionDataset(["a"], table), resizers, sampler, workers=0)
    shapes_seen = {(*batch.images.shape[2:], batch.boxes.shape[1]) for batch, _ in zip(loader, range(30), strict=False)}
    assert all(h <= 96 and w <= 96 and objects <= 10 for h, w, objects in shapes_seen)
    assert any(h > 64 and w > 64 for h, w, _ in shapes_seen)  # a landscape and a portrait
