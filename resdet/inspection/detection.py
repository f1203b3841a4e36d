"""Check the data sets of a detector: every defect in one pass, statistics, a sheet of samples.

problems = inspect_data(sets_of_config(load_config("configs/fruit_r18.py")), Path("inspection"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.class_counts import count_classes, doubts_of_classes
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.imagenet_det import ImageNetDETDataset
from resdet.data.detection.recognized import role_of
from resdet.data.detection.shared_files import doubt_of_shared
from resdet.data.detection.usable import unlearnable
from resdet.data.detection.voc import VOC_CLASSES, VOCDataset
from resdet.data.detection.yolo import YOLODataset
from resdet.data.text_files import named_classes
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

Sets = dict[str, dict[str, Any]]  # type and arguments of data sets by name; the first is trained on


def inspect_data(sets: Sets, out: Path) -> list[Problem]:
    """Print problems and statistics of data sets, and write a sheet of samples of each, OUT/NAME.jpg.

    A data set that cannot be read has no statistics until its problems are corrected. VOC, COCO, YOLO and ImageNet DET
    are read to their end; another data set reports the first error of its reader.

    Args:
        sets: `sets_of_config` or `sets_of_folder`.
        out: folder of the sample sheets.

    Returns:
        The problems of all data sets.
    """
    problems: list[Problem] = []
    refused: dict[str, bool] = {}  # by the names of the sets that have the same files: whether their reader may stop
    counts: dict[str, dict[str, int]] = {}
    paths: dict[str, list[str]] = {}
    for name, node in sets.items():
        files = _unwrapped(node)
        whole = " and ".join(other for other in sets if _unwrapped(sets[other]) == files)  # both parts of a split
        if whole not in refused:
            found = _check(whole, files)
            refused[whole] = any(problem.refused for problem in found)
            problems += found
        try:
            dataset = build(node)
            describe(name, dataset)
            save_image(out / f"{name}.jpg", sample_sheet(dataset))
        except UserError as error:
            if refused[whole]:
                print(f"{name}: no statistics until what is refused is mended")
            else:
                problems.append(_tell(name, Problem(str(error), True)))
            continue
        counts[name], paths[name] = count_classes(dataset), dataset.table.paths.tolist()
        why = unlearnable(dataset.table) if name == next(iter(sets)) else None
        if why is not None:
            problems.append(_tell(name, Problem(f"data.{name}: {why}", True)))
    return [*problems, *_doubts(counts, next(iter(sets))), *_shared(paths, next(iter(sets)))]


def sets_of_config(cfg: Config) -> Sets:
    """The training and the test set of a detector's config; one, where both are the same.

    Raises:
        UserError: the config lacks a section.
    """
    require(cfg, "a detector", "model", "data.train", "data.test")
    return {name: cfg.data[name] for name in ("train", "test") if name == "train" or cfg.data.test != cfg.data.train}


def _check(name: str, files: dict[str, Any]) -> list[Problem]:
    """Print and return the problems of the files of one data set, each once."""
    problems: dict[Problem, None] = {}
    try:
        for problem in _problems(files):
            if problem not in problems:  # an xml without its image is read twice: for the image's name and for itself
                problems[_tell(name, problem)] = None
    except UserError as error:
        problems[_tell(name, Problem(str(error), True))] = None
    return list(problems)


def _doubts(counts: dict[str, dict[str, int]], train: str) -> list[Problem]:
    """Print and return what is doubtful about the classes, if the training set could be read."""
    if train not in counts:
        return []
    others = {name: own for name, own in counts.items() if name != train}
    return [_tell(train, Problem(text, False)) for text in doubts_of_classes(counts[train], others)]


def _shared(paths: dict[str, list[str]], train: str) -> list[Problem]:
    """Print and return which sets to test on have images that are trained on."""
    others = [name for name in paths if name != train and role_of(name) != "train"]
    doubts = [(name, doubt_of_shared(paths.get(train, []), paths[name], name)) for name in others]
    return [_tell(name, Problem(text, False)) for name, text in doubts if text is not None]


def _tell(name: str, problem: Problem) -> Problem:
    print(f"{name}: {'refused' if problem.refused else 'warning'}: {problem.text}")
    return problem


def describe(name: str, dataset: DetectionDataset) -> None:
    """Print the objects per class and size, those that are difficult or crowds among them, and the images' sizes."""
    table = dataset.table
    areas = (table.boxes[:, 2] - table.boxes[:, 0]) * (table.boxes[:, 3] - table.boxes[:, 1])
    rows = []
    for k, label in enumerate(dataset.classes):
        own = table.labels == k
        images = len(np.unique(table.image_of_object()[own]))
        by_size = [int((own & (areas >= low) & (areas < high)).sum()) for low, high in SIZE_RANGES.values()]
        rows.append(
            (
                label,
                images,
                int(own.sum()),
                *by_size,
                *(int((own & flag).sum()) for flag in (table.difficult, table.crowd)),
            )
        )
    rows.append(("all", len(table), *(sum(column) for column in list(zip(*rows, strict=True))[2:])))
    columns = ["class", "images", "objects", *SIZE_RANGES, "difficult", "crowd"]
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


def _unwrapped(node: dict[str, Any]) -> dict[str, Any]:
    """The data set itself without SplitPart and Repeated, and without what chooses among its objects."""
    while "dataset" in node:
        node = node["dataset"]
    return {key: value for key, value in node.items() if key != "keep_difficult"}


def _problems(node: dict[str, Any]) -> Iterable[Problem]:
    check = CHECKS.get(node["type"])
    if check is None:
        return ()
    values = build({key: value for key, value in node.items() if key != "type"})
    named_classes(values.get("classes"), values["root"])  # else each object is of an unknown class
    return check(values)


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
