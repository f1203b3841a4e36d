"""The page of a localizer's run: figures, curves, classes, the worst and the best boxes, config, machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.imagenet import first_synonym
from resdet.data.localization import LocalizationDataset
from resdet.engine.config import Config
from resdet.engine.log import read_scalars
from resdet.engine.run import Run, environment
from resdet.metrics.localization_error import Guesses, LocalizationResult, localization_error
from resdet.recipes.localize_all import Located
from resdet.report.curves import training_figure
from resdet.report.drawing import save_image
from resdet.report.figures import figure_svg
from resdet.report.localization import guess_sheets
from resdet.report.page import ClassTable, RunPage, write_page

MOST_CLASSES = 60  # of more, the worst are shown
logger = logging.getLogger("resdet")


def write_localizer_page(
    cfg: Config,
    run: Run,
    dataset: LocalizationDataset,
    located: Located,
    stages: Sequence[Path],
    refined: float | None = None,
) -> Path:
    """Write page.html and pictures/ into the run's folder. Returns the page's path.

    Args:
        cfg, run: of the training.
        dataset: the test set.
        located: the boxes of its true classes by the centre crop.
        stages: folders whose losses are drawn; the first one's speed is shown.
        refined: the R-CNN stage's error in percent, where there is one.
    """
    truth = dataset.truth()
    guesses = Guesses(truth.labels[:, None], located.boxes[-1])
    result = localization_error(guesses, truth)
    whole = localization_error(located.whole(truth.labels[:, None]), truth)
    sheets = guess_sheets(dataset, guesses)
    for name, sheet in sheets.items():
        save_image(run.work_dir / "pictures" / f"{name}.jpg", sheet)
    records = {folder.name: read_scalars(folder / "scalars.json") for folder in stages}
    speeds = [r["images_per_second"] for r in records[stages[0].name] if "images_per_second" in r]
    rescored = [] if refined is None else [("RPN + R-CNN", f"{refined:.2f} %", "the true class's box, rescored")]
    page = RunPage(
        title=run.work_dir.name,
        subtitle=f"{len(truth)} test images, {len(dataset.classes)} classes",
        command=run.command,
        figures=[
            ("localization error", f"{result.localization:.2f} %", "the true class's box by the centre crop"),
            *rescored,
            ("whole-image box", f"{whole.localization:.2f} %", "what no training gives"),
            ("training", f"{np.median(speeds):.0f}" if speeds else "", "images a second"),
        ],
        per_class=class_table(result, truth.labels, dataset.names),
        curves=[(name, figure_svg(training_figure(own))) for name, own in records.items()],
        pictures=list(sheets.items()),
        config_text=cfg.pretty_text,
        environment=environment(run),
    )
    path = run.work_dir / "page.html"
    write_page(path, page)
    logger.info("page: %s   pictures: %s", path, run.work_dir / "pictures")
    return path


def class_table(result: LocalizationResult, labels: np.ndarray, names: Sequence[str]) -> ClassTable:
    """Share of right images by class, in the classes' order; of many classes the worst alone, the worst first."""
    images = np.bincount(labels, minlength=len(names))
    right = np.bincount(labels[~result.wrong], minlength=len(names))
    share = np.divide(right, images, out=np.full(len(names), np.nan), where=images > 0)
    order, title = np.arange(len(names)), f"Localized by class, number of classes: {len(names)}"
    if len(names) > MOST_CLASSES:
        order = np.argsort(share, kind="stable")[:MOST_CLASSES]
        title = f"The {MOST_CLASSES} worst of {len(names)} classes"
    rows = [(first_synonym(names[i]), float(share[i]), int(images[i])) for i in order.tolist()]
    return ClassTable(rows, title, "right", "images")
