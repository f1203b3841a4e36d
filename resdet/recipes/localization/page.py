"""The HTML page of a localizer's run: figures, curves, errors by class, worst and best boxes, config, environment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.classification.imagenet import first_synonym
from resdet.data.localization.dataset import LocalizationDataset
from resdet.engine.config import Config
from resdet.engine.config_text import config_text
from resdet.engine.log import read_scalars
from resdet.engine.run import Run, environment
from resdet.metrics.localization_error import Guesses, LocalizationResult, localization_error
from resdet.recipes.localization.inference import LocalizedBoxes
from resdet.report.curves import training_plot
from resdet.report.image_files import save_image
from resdet.report.localization import guess_pictures, guess_sheet
from resdet.report.page import BarTable, Gallery, RunPage, class_table, write_page
from resdet.report.tables import DASH


def write_localizer_page(
    cfg: Config,
    run: Run,
    dataset: LocalizationDataset,
    found: LocalizedBoxes,
    stages: Sequence[Path],
    refined: float | None = None,
) -> Path:
    """Write page.html and pictures/ into the run's folder. Returns the path of the page.

    Args:
        cfg: the config of the training.
        run: the training's run.
        dataset: the test set.
        found: predicted boxes of the true class, by the 1-crop test.
        stages: folders of the stages whose losses are plotted; the page has the training speed of the first.
        refined: localization error of the R-CNN stage in percent; None if there is no such stage.
    """
    truth = dataset.truth()
    guesses = Guesses(truth.labels[:, None], found.boxes[-1])
    result = localization_error(guesses, truth)
    whole = localization_error(found.whole_images(truth.labels[:, None]), truth)
    pictures = guess_pictures(dataset, guesses)
    for name, part in pictures.items():
        save_image(run.work_dir / "pictures" / f"{name}.jpg", guess_sheet(part))
    records = {folder.name: read_scalars(folder / "scalars.json") for folder in stages}
    speeds = [r["images_per_second"] for r in records[stages[0].name] if "images_per_second" in r]
    rescored = [] if refined is None else [("RPN + R-CNN", f"{refined:.2f} %", "box of the true class, rescored")]
    page = RunPage(
        title=run.work_dir.name,
        subtitle=f"{len(truth):,} test images, {len(dataset.classes):,} classes",
        command=run.command,
        figures=[
            ("localization error", f"{result.localization:.2f} %", "box of the true class, centre crop"),
            *rescored,
            ("whole-image box", f"{whole.localization:.2f} %", "the error without any training"),
            ("training", f"{np.median(speeds):.0f}" if speeds else DASH, "images per second"),
        ],
        bars=[share_table(result, truth.labels, dataset.names)],
        curves=[(_curve_title(name, len(records)), training_plot(own, "")) for name, own in records.items()],
        galleries=[
            Gallery(f"The {name} boxes", part, "by IoU; the true boxes are dashed", small=True)
            for name, part in pictures.items()
        ],
        config_text=config_text(cfg),
        environment=environment(run),
    )
    return write_page(run.work_dir / "page.html", page)


def _curve_title(folder: str, stages: int) -> str:
    return f"Training: {folder}" if stages > 1 else "Training"


def share_table(result: LocalizationResult, labels: np.ndarray, names: Sequence[str]) -> BarTable:
    """Fraction of correctly localized images by class; NaN for a class without images.

    Args:
        result: the errors of N images.
        labels: int64 [N], their classes.
        names: of all classes, by label.
    """
    images = np.bincount(labels, minlength=len(names))
    right = np.bincount(labels[~result.wrong], minlength=len(names))
    share = np.divide(right, images, out=np.full(len(names), np.nan), where=images > 0)
    return class_table([first_synonym(n) for n in names], share, images, "Localized by class", "right", "images")
