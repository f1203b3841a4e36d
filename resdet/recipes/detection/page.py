"""The page of a detector's run: figures, curves, pictures of ground truth and detections, config, environment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.settings import DetectionData
from resdet.engine.config import Config
from resdet.engine.config_text import config_text
from resdet.engine.log import read_scalars
from resdet.engine.run import Run, environment
from resdet.metrics.flat import FlatDetections
from resdet.metrics.precision_recall import ClassResult
from resdet.recipes.detection.error_analysis import analyse_errors
from resdet.recipes.detection.error_page import confusion_of, cost_table
from resdet.recipes.detection.score import Evaluation
from resdet.report.canvas import Image
from resdet.report.curves import precision_recall_plot, training_plot
from resdet.report.drawing import draw_detections, draw_truth
from resdet.report.image_files import save_image
from resdet.report.page import BarTable, Gallery, RunPage, class_table, write_page
from resdet.report.score_curves import score_plot
from resdet.report.sheets import contact_sheet, side_by_side
from resdet.report.tables import DASH, format_percent

PICTURES = 12
THRESHOLD = 0.5  # lowest score that is drawn and that counts for the confusion matrix
_RULES = {
    "area": "VOC, area under the curve", "11-point": "VOC 2007, 11 points", "coco": "COCO", "ilsvrc": "ImageNet DET",
}  # fmt: skip


def write_detector_page(
    model: nn.Module,
    cfg: Config,
    run: Run,
    data: DetectionData,
    evaluation: Evaluation,
    detections: FlatDetections,
    trainings: Sequence[tuple[str, Path]],
) -> Path:
    """Write page.html and pictures/ into the run's folder.

    Args:
        model: the trained detector, to count its parameters.
        cfg: its config.
        run: its folder gets the page; its command and environment are shown.
        data: the test set.
        evaluation: the results of these detections.
        detections: of the whole test set.
        trainings: titles and folders of the trainings, whose scalars.json are plotted.

    Returns:
        The path of the page.
    """
    dataset = data.test
    records = {name: read_scalars(folder / "scalars.json") for name, folder in trainings}
    pictures = draw_examples(dataset, detections, PICTURES, THRESHOLD)
    _save(pictures, run.work_dir / "pictures")
    report, classes = analyse_errors(detections, dataset, THRESHOLD), evaluation.classes
    page = RunPage(
        title=run.work_dir.name,
        subtitle=f"{len(dataset):,} test images, {len(dataset.classes):,} classes",
        command=run.command,
        figures=[*_headlines(evaluation), *_facts(model, records.values())],
        bars=[_ap_table(dataset.classes, classes), cost_table(report)],
        confusion=confusion_of(report),
        curves=[
            *((name, training_plot(part, "")) for name, part in records.items()),
            ("Precision, recall and F1 by score", score_plot(report.curves, dataset.classes)),
            ("Precision and recall, IoU 0.5", precision_recall_plot(classes, dataset.classes, "")),
        ],
        galleries=[Gallery("Pictures", pictures, f"truth (dashed); detections with a score of {THRESHOLD:g} or more")],
        config_text=config_text(cfg),
        environment=environment(run),
    )  # fmt: skip
    return write_page(run.work_dir / "page.html", page)


def _ap_table(names: Sequence[str], classes: Sequence[ClassResult]) -> BarTable:
    aps, objects = np.array([c.ap for c in classes]), np.array([c.num_truth for c in classes])
    return class_table(names, aps, objects, "AP@.5 per class", "AP", "objects", None)


def _facts(model: nn.Module, trainings: Iterable[list[dict[str, Any]]]) -> list[tuple[str, str, str]]:
    speeds = [r["images_per_second"] for records in trainings for r in records if "images_per_second" in r]
    parameters = sum(p.numel() for p in model.parameters())
    return [
        ("training", f"{np.median(speeds):.1f}" if speeds else DASH, "images per second"),
        ("parameters", f"{parameters / 1e6:.1f} M", ""),
    ]


def _save(pictures: Sequence[tuple[str, Image]], folder: Path) -> None:
    """Write every picture, and a sheet of all."""
    for caption, picture in pictures:
        save_image(folder / f"{caption}.jpg", picture)
    sheet = contact_sheet([picture for _, picture in pictures], columns=3, cell_width=640)
    save_image(folder / "sheet.jpg", sheet)


def _headlines(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """mAP at IoU 0.5 and over 0.5:0.95, and AP by the size of the objects: title, value, rule."""
    figures, rule = evaluation.figures, evaluation.rule
    over_sizes, note = ("AP", "mAP@[.5,.95]") if rule == "coco" else ("mAP50", "mAP@.5")
    sizes = [(f"{s} objects", format_percent(figures[f"{over_sizes}_{s}"]), note) for s in ("small", "medium", "large")]
    means = [("mAP@.5", "mAP50"), ("mAP@[.5,.95]", "mAP50_95")]
    return [(title, format_percent(figures[name]), _RULES[rule]) for title, name in means if name in figures] + sizes


def draw_examples(
    dataset: DetectionDataset, detections: FlatDetections, count: int, threshold: float = 0.5
) -> list[tuple[str, Image]]:
    """Draw truth and detections side by side.

    Args:
        dataset: the images.
        detections: in all of them.
        count: images, evenly spread over the data set.
        threshold: lowest score that is drawn.

    Returns:
        Image id and picture, uint8 [H, W, 3].
    """
    pictures = []
    for i in np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int)):
        sample = dataset[int(i)]
        image, rows = sample.image.numpy(), detections.image == i
        ignored = (sample.difficult | sample.crowd).numpy()
        truth = draw_truth(image, sample.boxes.numpy(), sample.labels.numpy(), dataset.classes, ignored)
        found = draw_detections(
            image, detections.box[rows], detections.label[rows], detections.score[rows], dataset.classes, threshold
        )
        pictures.append((sample.image_id, side_by_side(truth, found)))
    return pictures
