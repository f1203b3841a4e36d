"""The page of a classifier's run: figures, curves, accuracy per class, images with predictions, config, environment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from resdet.data.classification.imagenet import first_synonym
from resdet.data.classification.settings import Data
from resdet.engine.config import Config
from resdet.engine.config_text import config_text
from resdet.engine.log import read_scalars
from resdet.engine.run import Run, environment
from resdet.nets.backbone import Net
from resdet.nets.complexity import complexity
from resdet.recipes.classification.evaluate import Answers
from resdet.report.canvas import Image
from resdet.report.classifier_plots import error_plot
from resdet.report.curves import training_plot
from resdet.report.image_files import save_image
from resdet.report.page import BarTable, Gallery, RunPage, class_table, confusion_part, write_page
from resdet.report.sheets import contact_sheet, titled
from resdet.report.tables import DASH

PICTURES, COLUMNS, CELL = 16, 4, 224  # pictures per sheet and per row; width of one in pixels


def write_classifier_page(net: Net, cfg: Config, run: Run, data: Data, answers: Answers) -> Path:
    """Write page.html and pictures/ into the run's folder.

    Args:
        net: the trained net, to count its parameters and multiply-adds.
        cfg: its config.
        run: whose folder, command and environment.
        data: the test set.
        answers: of the centre crop (`test_classifier`).

    Returns:
        The path of the page.
    """
    (table,) = answers.scores.values()
    records = read_scalars(run.work_dir / "scalars.json")
    pictures = draw_examples(table, answers.labels, data)
    for name, part in pictures:
        cells = [titled(picture, caption, CELL) for caption, picture in part]
        sheet = contact_sheet(cells, COLUMNS, CELL)
        save_image(run.work_dir / "pictures" / f"{name.lower().replace(' ', '_')}.jpg", sheet)
    speeds = [r["images_per_second"] for r in records if "images_per_second" in r]
    side = next(iter(data.testing(np.arange(1), torch.device("cpu")))).images.shape[-1]
    cost = complexity(net, side)
    confusion, names = answers.confusion(), [first_synonym(name) for name in data.test.names]
    page = RunPage(
        title=run.work_dir.name,
        subtitle=f"{len(answers.labels):,} test images, {len(answers.classes):,} classes",
        command=run.command,
        figures=[
            *(
                (name.removeprefix("test/").replace("_", " "), f"{v:.2f} %", "")
                for name, v in answers.figures().items()
            ),
            ("training", f"{np.median(speeds):.0f}" if speeds else DASH, "images per second"),
            ("parameters", f"{cost.parameters / 1e6:.2f} M", ""),
            ("multiply-adds", f"{cost.macs / 1e9:.3f} G", f"at {side} x {side}"),
        ],
        bars=[accuracy_table(confusion, data.test.names)],
        confusion=confusion_part(names, confusion, "images"),
        curves=[
            ("Error in percent: training (dashed) and test images", error_plot({run.work_dir.name: records}, "")),
            ("Training", training_plot(records, "")),
        ],
        galleries=[Gallery(title, part, "true class, predicted class and its probability", small=True)
                   for title, part in pictures],
        config_text=config_text(cfg),
        environment=environment(run),
    )  # fmt: skip
    return write_page(run.work_dir / "page.html", page)


def accuracy_table(confusion: np.ndarray, names: Sequence[str]) -> BarTable:
    """Accuracy per class.

    Args:
        confusion: int [K, K], images by true and predicted class.
        names: [K], with synonyms, of which the first is shown.

    Returns:
        A row per class; the accuracy of a class without images is NaN.
    """
    images = confusion.sum(1)
    accuracy = np.divide(confusion.diagonal(), images, out=np.full(len(names), np.nan), where=images > 0)
    return class_table([first_synonym(n) for n in names], accuracy, images, "Accuracy by class", "accuracy", "images")


def draw_examples(table: np.ndarray, labels: np.ndarray, data: Data) -> list[tuple[str, list[tuple[str, Image]]]]:
    """Test images: evenly spread over the set, and the mistakes with the highest probability.

    Args:
        table: class probabilities [N, K].
        labels: int [N].
        data: the test set.

    Returns:
        Title, and captions (true class, predicted class and its probability) with centre crops.
    """
    found, certainty = table.argmax(1), table.max(1)
    spread = np.unique(np.linspace(0, len(labels) - 1, PICTURES).round().astype(int))
    wrong = np.flatnonzero(found != labels)
    mistakes = wrong[np.argsort(-certainty[wrong], kind="stable")][:PICTURES]
    names = [first_synonym(name) for name in data.test.names]
    examples = []
    for title, order in (("Test images", spread), ("Most certain mistakes", mistakes)):
        batches = [batch.images for batch in data.testing(order, torch.device("cpu"))]
        if not batches:
            continue
        images = torch.cat(batches).permute(0, 2, 3, 1).numpy()
        captions = [f"{names[labels[i]]}, found {names[found[i]]} {certainty[i]:.2f}" for i in order]
        examples.append((title, list(zip(captions, images, strict=True))))
    return examples
