"""The detections of a whole data set, over all processes.

detections = detect_all(Tester([model]), dataset, resizer, run)       # FlatDetections, on every process
"""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

import numpy as np
import torch

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.loading import detection_eval_loader
from resdet.data.transforms import Resizer
from resdet.detection.inference import Testing
from resdet.engine.distributed import gather_objects, get_rank, get_world_size
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.metrics.voc_ap import FlatDetections
from resdet.structures import Detections

logger = logging.getLogger("resdet")


class Detects(Protocol):
    """What `detect_all` runs: a Tester, or another implementation's detector."""

    testing: Testing

    def eval(self) -> Any:
        """Change to the mode of testing."""

    def detect(self, views: Any) -> list[Detections]:
        """The detections of each image of a Batch, of a Pyramid where `testing` has scales."""
        ...


def detect_all(
    tester: Detects, dataset: DetectionDataset, resizer: Resizer, run: Run, images: int = 1, workers: int = 2
) -> FlatDetections:
    """The detections of every image of a data set, over all processes, each image once."""
    tester.eval()
    pin, sizes = run.device.type == "cuda", sizes_of(tester.testing, resizer)
    loader = detection_eval_loader(dataset, sizes, images, workers, pin, get_rank(), get_world_size())
    index = {str(image_id): i for i, image_id in enumerate(dataset.table.ids)}
    found: list[tuple[int, Detections]] = []
    started = time.perf_counter()
    for batch in loader:
        with precision_context(run.precision, run.device):
            answers = tester.detect(batch.to(run.device))
        found += [(index[i], d.cpu()) for i, d in zip(batch.image_ids, answers, strict=True)]
    seconds = time.perf_counter() - started
    logger.info("detected in %d images, %.2f s an image", len(found), seconds / max(1, len(found)))
    return flatten(gather_objects(found))


def sizes_of(testing: Testing, resizer: Resizer) -> Resizer | list[Resizer]:
    """One resizer for a plain test; a list, smallest first, for an image pyramid."""
    return [resizer.at(short) for short in testing.scales] if testing.scales else resizer


def flatten(found: list[tuple[int, Detections]]) -> FlatDetections:
    """(image index, Detections) pairs as flat arrays, by image."""
    found = sorted(found, key=lambda pair: pair[0])
    image = np.repeat([i for i, _ in found], [len(d) for _, d in found]) if found else np.zeros(0)
    empty = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    parts = [empty, *(d for _, d in found)]
    return FlatDetections(
        image,
        torch.cat([d.labels for d in parts]).numpy(),
        torch.cat([d.scores for d in parts]).numpy(),
        torch.cat([d.boxes for d in parts]).numpy(),
    )
