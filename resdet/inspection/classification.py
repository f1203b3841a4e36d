"""Check the data sets of a classifier or localizer: every unreadable file, images per class, a sheet of samples.

problems = inspect_classes(load_config("configs/tiny_imagenet50_r18.py"), Path("inspection"))
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console

from resdet.data.classification.cifar import Cifar10
from resdet.data.classification.cls_loc import UNKNOWN
from resdet.data.classification.imagenet import ImageNetDataset, first_synonym
from resdet.data.localization.dataset import LocalizationDataset
from resdet.engine.config import Config, build, require
from resdet.engine.run import same_classes
from resdet.errors import UserError
from resdet.inspection.problem import Problem
from resdet.report.canvas import Image
from resdet.report.drawing import draw_truth
from resdet.report.image_files import save_image
from resdet.report.progress import progress_bar
from resdet.report.sheets import contact_sheet, titled
from resdet.report.tables import print_table, results_table

PICTURES, COLUMNS, CELL = 16, 4, 240
MOST_CLASSES = 60  # with more, no table is printed

ClassSet = ImageNetDataset | Cifar10 | LocalizationDataset


def inspect_classes(cfg: Config, out: Path) -> list[Problem]:
    """Print problems and statistics of both data sets, and write OUT/train.jpg and OUT/test.jpg.

    Every image is decoded, on all cores, which takes long for ImageNet.

    Args:
        cfg: a classifier's or localizer's config.
        out: folder of the sample sheets.

    Returns:
        The problems of both data sets.

    Raises:
        UserError: the config lacks a section.
    """
    require(cfg, "a classifier or localizer", "data.train", "data.test")
    problems: list[Problem] = []
    sets: list[ClassSet] = []
    for name in ("train", "test"):
        try:
            dataset = build(cfg.data[name])
        except UserError as error:
            problems.append(_tell(name, str(error)))
            continue
        sets.append(dataset)
        unreadable = [] if isinstance(dataset, Cifar10) else _unreadable(dataset, name)
        problems += [_tell(name, text) for _, text in unreadable]
        describe_classes(name, dataset)
        readable = np.setdiff1d(np.arange(len(dataset)), [i for i, _ in unreadable])
        if len(readable):
            save_image(out / f"{name}.jpg", class_sheet(dataset, readable))
    if len(sets) == 2:
        try:
            same_classes(sets[0].classes, sets[1].classes, "data.train and data.test")
        except UserError as error:
            problems.append(_tell("train and test", str(error)))
    return problems


def describe_classes(name: str, dataset: ClassSet) -> None:
    """Print the number of images per class (a table, or with many classes the range), and of boxes of a localizer."""
    if UNKNOWN in np.asarray(dataset.labels):
        print(f"{name}: {len(dataset)} images without labels\n")
        return
    counts = np.bincount(np.asarray(dataset.labels), minlength=len(dataset.classes))
    if len(counts) <= MOST_CLASSES:
        rows = [(first_synonym(label), count) for label, count in zip(dataset.names, counts.tolist(), strict=True)]
        print_table(results_table(f"{name}: {len(dataset)} images", ["class", "images"], rows))
    print(
        f"{name}: {len(dataset)} images of {len(counts)} classes; images per class {counts.min()}..{counts.max()}, "
        f"median {np.median(counts):g}\n"
    )
    if isinstance(dataset, LocalizationDataset):
        truth = dataset.truth()
        sides = np.sqrt((truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(1))
        low, middle, high = np.quantile(sides, [0, 0.5, 1]) if len(sides) else [0, 0, 0]
        without = len(dataset) - len(np.unique(truth.image))
        print(
            f"{name}: {len(sides)} boxes, {without} images have none; square root of the area {low:.0f}..{high:.0f} "
            f"pixels, median {middle:.0f}\n"
        )


def class_sheet(dataset: ClassSet, order: np.ndarray) -> Image:
    """A sheet of `PICTURES` images, evenly spaced in `order` (int [n]), each with its class as title."""
    chosen = order[np.unique(np.linspace(0, len(order) - 1, PICTURES).round().astype(int))]
    cells = []
    for i in chosen.tolist():
        label = int(dataset.labels[i])
        title = "" if label == UNKNOWN else first_synonym(dataset.names[label])
        cells.append(titled(_pixels(dataset, i), title, CELL))
    return contact_sheet(cells, COLUMNS, CELL)


def _pixels(dataset: ClassSet, index: int) -> Image:
    if isinstance(dataset, Cifar10):
        return dataset.images[index].permute(1, 2, 0).numpy()
    image = dataset[index][0]
    if not isinstance(dataset, LocalizationDataset):
        return image
    boxes = dataset[index].boxes
    return draw_truth(
        image, boxes, np.full(len(boxes), dataset.labels[index]), [first_synonym(n) for n in dataset.names]
    )


def _unreadable(dataset: ImageNetDataset | LocalizationDataset, name: str) -> list[tuple[int, str]]:
    """Index and error message of every image that cannot be decoded."""

    def look(index: int) -> tuple[int, str]:
        try:
            dataset[index]
        except UserError as error:
            return index, str(error)
        return index, ""

    console = Console(stderr=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the GIL
        looked = pool.map(look, range(len(dataset)))
        with progress_bar(looked, f"{name}: reading", len(dataset), console) as answers:
            return [(index, text) for index, text in answers if text]


def _tell(name: str, text: str) -> Problem:
    print(f"{name}: refused: {text}")
    return Problem(text, True)
