"""Check the data sets of a detector: every defect in one pass, statistics, a sheet of samples.

problems = inspect_data(load_config("configs/fruit_r18.py"), Path("inspection"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.imagenet_det import ImageNetDETDataset
from resdet.data.detection.voc import VOC_CLASSES, VOCDataset
from resdet.data.detection.yolo import YOLODataset
from resdet.engine.config import Config, build, require
from resdet.errors import UserError
from resdet.inspection.coco import check_coco
from resdet.inspection.imagenet_det import check_imagenet_det
from resdet.inspection.problem import Problem
from resdet.inspection.voc import check_voc
from resdet.inspection.yolo import check_yolo
from resdet.metrics.precision_recall import SIZE_RANGES
from resdet.report.drawing import draw_truth
from resdet.report.image_files import save_image
from resdet.report.sheets import contact_sheet
from resdet.report.tables import print_table, results_table

PICTURES = 12


def inspect_data(cfg: Config, out: Path) -> list[Problem]:
    """Print problems and statistics of both data sets, and write OUT/train.jpg and OUT/test.jpg.

    A data set that cannot be read has no statistics until its problems are corrected. VOC, COCO, YOLO and ImageNet DET
    are read to their end; another data set reports the first error of its reader.

    Args:
        cfg: a detector's config.
        out: folder of the sample sheets.

    Returns:
        The problems of both data sets.

    Raises:
        UserError: the config lacks a section.
    """
    require(cfg, "a detector", "model", "data.train", "data.test")
    problems: list[Problem] = []
    for name in ("train", "test"):
        found: list[Problem] = []
        try:
            found = _problems(cfg.data[name])
            for problem in found:
                print(f"{name}: {'refused' if problem.refused else 'repaired'}: {problem.text}")
            problems += found
            dataset = build(cfg.data[name])
            describe(name, dataset)
            save_image(out / f"{name}.jpg", sample_sheet(dataset))
        except UserError as error:
            print(f"{name}: {error}")
            problems += [] if found else [Problem(str(error), True)]
    return problems


def describe(name: str, dataset: DetectionDataset) -> None:
    """Print the objects per class and size, and the sizes and aspect ratios of the images."""
    table = dataset.table
    areas = (table.boxes[:, 2] - table.boxes[:, 0]) * (table.boxes[:, 3] - table.boxes[:, 1])
    rows = []
    for k, label in enumerate(dataset.classes):
        own = table.labels == k
        images = len(np.unique(table.image_of_object()[own]))
        by_size = [int((own & (areas >= low) & (areas < high)).sum()) for low, high in SIZE_RANGES.values()]
        rows.append((label, images, int(own.sum()), *by_size, int((own & table.difficult).sum())))
    rows.append(("all", len(table), *(sum(column) for column in list(zip(*rows, strict=True))[2:])))
    columns = ["class", "images", "objects", *SIZE_RANGES, "difficult"]
    print_table(results_table(f"{name}: {len(table)} images", columns, rows))
    counts, ratios = np.diff(table.offsets), table.aspect_ratios()
    empty = int((counts == 0).sum())
    print(f"images without objects {empty}; objects per image {counts.mean():.1f}, at most {counts.max()}")
    low, high = table.sizes.min(0), table.sizes.max(0)
    print(f"width {low[1]}..{high[1]}, height {low[0]}..{high[0]}, portraits {100 * (ratios < 1).mean():.0f} %\n")


def sample_sheet(dataset: DetectionDataset) -> np.ndarray:
    """A sheet of `PICTURES` images with their boxes, evenly spaced in the data set."""
    pictures = []
    for i in np.unique(np.linspace(0, len(dataset) - 1, PICTURES).round().astype(int)):
        sample = dataset[int(i)]
        ignored = (sample.difficult | sample.crowd).numpy()
        pictures.append(
            draw_truth(sample.image.numpy(), sample.boxes.numpy(), sample.labels.numpy(), dataset.classes, ignored)
        )
    return contact_sheet(pictures, columns=4, cell_width=480)


def _problems(node: dict[str, Any]) -> list[Problem]:
    while "dataset" in node:  # SplitPart and Repeated wrap a data set
        node = node["dataset"]
    check = CHECKS.get(node["type"])
    if check is None:
        return []
    return list(check(build({key: value for key, value in node.items() if key != "type"})))


def _check_voc(values: dict[str, Any]) -> Iterator[Problem]:
    return check_voc(
        values["root"], values["splits"], values.get("classes", VOC_CLASSES), values.get("annotated", True)
    )


def _check_coco(values: dict[str, Any]) -> Iterator[Problem]:
    return check_coco(values["root"], values["splits"], values.get("annotated", True))


def _check_yolo(values: dict[str, Any]) -> Iterator[Problem]:
    return check_yolo(values["root"], values["image_sets"], values.get("classes"))


def _check_imagenet_det(values: dict[str, Any]) -> Iterator[Problem]:
    return check_imagenet_det(values["root"], values["image_sets"], values.get("annotated", True))


# The check of each format, called with the arguments of its data set.
CHECKS: dict[Any, Callable[[dict[str, Any]], Iterator[Problem]]] = {
    VOCDataset: _check_voc,
    COCODataset: _check_coco,
    YOLODataset: _check_yolo,
    ImageNetDETDataset: _check_imagenet_det,
}
