"""The page of a localizer's run: figures, curves, classes, the worst and the best boxes, config, machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.classification.imagenet import first_synonym
from resdet.data.localization.dataset import LocalizationDataset
from resdet.engine.config import Config
from resdet.engine.log import read_scalars
from resdet.engine.run import Run, environment
from resdet.metrics.localization_error import Guesses, LocalizationResult, localization_error
from resdet.recipes.localization.inference import Located
from resdet.report.curves import training_figure
from resdet.report.drawing import save_image
from resdet.report.figures import figure_svg
from resdet.report.localization import guess_sheets
from resdet.report.page import ClassTable, RunPage, class_table, write_page


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
        per_class=share_table(result, truth.labels, dataset.names),
        curves=[(name, figure_svg(training_figure(own))) for name, own in records.items()],
        pictures=list(sheets.items()),
        config_text=cfg.pretty_text,
        environment=environment(run),
    )
    return write_page(run.work_dir / "page.html", page)


def share_table(result: LocalizationResult, labels: np.ndarray, names: Sequence[str]) -> ClassTable:
    """Share of right images by class; NaN where a class has no image."""
    images = np.bincount(labels, minlength=len(names))
    right = np.bincount(labels[~result.wrong], minlength=len(names))
    share = np.divide(right, images, out=np.full(len(names), np.nan), where=images > 0)
    return class_table([first_synonym(n) for n in names], share, images, "Localized by class", "right", "images")
