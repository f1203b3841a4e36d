"""Score a detector, or detections in comp4 files, by PASCAL VOC's rules.

detections = detect_all(model, dataset, resizer, run)
result = score(detections, dataset, method="area")
figures = figures_of(result)                         # {"val/mAP50": .., "val/mAP50_small": .., ...}
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from resdet.data.annotations import DetectionDataset
from resdet.data.loading import detection_eval_loader
from resdet.data.transforms import Resizer
from resdet.data.voc import VOC_CLASSES, VOCDataset, read_comp4
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.engine.distributed import gather_objects, get_rank, get_world_size
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.metrics.voc_ap import FlatDetections, FlatTruth, Method, VocResult, evaluate_voc, mean_ap_range
from resdet.report.tables import ap_table, format_ap, print_table
from resdet.structures import Detections

logger = logging.getLogger("resdet")


def detect_all(
    model: nn.Module, dataset: DetectionDataset, resizer: Resizer, run: Run, images: int = 1, workers: int = 2
) -> FlatDetections:
    """The detections of every image of a data set, over all processes, each image once."""
    assert isinstance(model, FasterRCNN)
    model.eval()
    pin = run.device.type == "cuda"
    loader = detection_eval_loader(dataset, resizer, images, workers, pin, get_rank(), get_world_size())
    index = {str(image_id): i for i, image_id in enumerate(dataset.table.ids)}
    found: list[tuple[int, Detections]] = []
    started = time.perf_counter()
    for batch in loader:
        with precision_context(run.precision, run.device):
            answers = model.detect(batch.to(run.device))
        found += [(index[i], d.cpu()) for i, d in zip(batch.image_ids, answers, strict=True)]
    seconds = time.perf_counter() - started
    logger.info("detected in %d images, %.2f s an image", len(found), seconds / max(1, len(found)))
    return flatten(gather_objects(found))


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


def truth_of(dataset: DetectionDataset) -> FlatTruth:
    """All objects of a data set; those in crowds count as difficult."""
    table = dataset.table
    return FlatTruth(table.image_of_object(), table.labels, table.boxes, table.difficult | table.crowd)


def score(detections: FlatDetections, dataset: DetectionDataset, method: Method = "area") -> VocResult:
    """AP at IoU .5 of every class, the mean, and by size."""
    return evaluate_voc(detections, truth_of(dataset), len(dataset.classes), method=method)


def figures_of(result: VocResult) -> dict[str, float]:
    """The result's numbers by name, for the log; fractions."""
    sizes = {f"val/mAP50_{size}": ap for size, ap in result.by_size.items()}
    return {"val/mAP50": result.mean_ap, **sizes}


def score_files(
    directory: Path, voc_root: Path, year: str, image_set: str, classes: list[str] | None, method: Method
) -> tuple[VocResult, VOCDataset, FlatDetections]:
    """Score comp4 files alone. Without `classes`: VOC's twenty for a four-digit year, else those annotated."""
    names = classes or (VOC_CLASSES if year.isdigit() and len(year) == 4 else None)
    dataset = VOCDataset(voc_root, [(year, image_set)], names)
    detections = read_comp4(directory, image_set, dataset.classes, dataset.table.ids.tolist())
    return score(detections, dataset, method), dataset, detections


def print_result(result: VocResult, dataset: DetectionDataset, detections: FlatDetections, method: str) -> None:
    """The table by class and the means, in percent."""
    counts = {
        "objects": [c.num_truth for c in result.classes],
        "detections": [int((detections.label == k).sum()) for k in range(len(dataset.classes))],
    }
    print_table(ap_table(dataset.classes, [c.ap for c in result.classes], counts, f"AP@.5 ({method})"))
    sizes = ", ".join(f"{size} {format_ap(ap)}" for size, ap in result.by_size.items())
    print(f"mAP@.5 {result.mean_ap:.4f} ({method}); in percent by size: {sizes}")


def all_figures(result: VocResult, dataset: DetectionDataset, detections: FlatDetections) -> dict[str, object]:
    """Everything that --json writes."""
    named = zip(dataset.classes, result.classes, strict=True)
    per_class = {name: None if np.isnan(c.ap) else c.ap for name, c in named}
    return {
        "mAP50": result.mean_ap,
        "mAP50_95": mean_ap_range(detections, truth_of(dataset), len(dataset.classes)),
        "by_size": result.by_size,
        "per_class": per_class,
        "images": len(dataset),
        "detections": len(detections),
    }
