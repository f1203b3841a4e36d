"""Test localizers as Tables 13 and 14 do, row by row: by centre crop or densely, true class or a classifier's top five.

    chosen = ClassChoice(load_config("imagenet_r101"), [Path("cls.pth")], "dense")
    found = evaluate_localizer(cfg, run, [(cfg, Path("last.pth"))], [Test(), Test("dense")], chosen)
    print_evaluation(found)                                # recipes/score_localization.py

The first row is always the whole image as the box: what is right without any training. With R-CNN stages the last rows
of the true class and of the top five are of the boxes that they rescored: the proposals of the last test's views, so
that the difference from the row above, of the same images, is what the R-CNN adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resdet.data.localization_files import read_excluded
from resdet.data.settings import ClassificationData, LocalizationData
from resdet.engine.config import Config, build_call, require
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.metrics.localization_error import MOST_GUESSES, Guesses
from resdet.recipes.build_localizer import build_localization_data, load_localizer, require_localizer
from resdet.recipes.build_rcnn import load_rcnn, rcnn_section
from resdet.recipes.evaluate_classifier import View, classify_set
from resdet.recipes.localize_all import Test, localize_all
from resdet.recipes.rescoring import rescore_all
from resdet.recipes.score_localization import Evaluation, score_rows

WHOLE, REFINED = "whole-image box", "RPN + R-CNN"


@dataclass(frozen=True)
class ClassChoice:
    """Who names the classes: a classifier's config, its checkpoints (several: their mean), and how it looks."""

    cfg: Config
    checkpoints: Sequence[Path]
    views: View = "center"


def evaluate_localizer(
    cfg: Config,
    run: Run,
    localizers: Sequence[tuple[Config, Path]],
    tests: Sequence[Test],
    choice: ClassChoice | None = None,
    excluded: Path | None = None,
    rcnns: Sequence[tuple[Config, Path]] = (),
) -> Evaluation:
    """The rows of the config's test set, on all processes.

    Args:
        cfg: whose data are tested on.
        localizers: configs, for their models alone, with checkpoints; of several each has its row, then all together.
        tests: how they look at the images.
        choice: the five classes of each image; None: rows of the true class alone.
        excluded: a list of images that do not count (data/localization_files.read_excluded).
        rcnns: R-CNN stages, for what all localizers together propose; of several the mean. The number of proposals and
            how scores are combined are the first config's.

    Raises:
        UserError: a checkpoint is no localizer or no R-CNN stage or has other classes, or the classifier has.
    """
    require_localizer(cfg, "data.test")
    data = build_localization_data(cfg, train=False)
    dataset, truth = data.test, data.test.truth()
    skipped = None if excluded is None else read_excluded(excluded, dataset.listed)[dataset.lines]
    models = [load_localizer(own, dataset.classes, path).to(run.device) for own, path in localizers]
    nets = [load_rcnn(own, dataset.classes, path).to(run.device) for own, path in rcnns]
    names = _names([path for _, path in localizers])
    oracle = truth.labels[:, None]
    five = None if choice is None else best_classes(choice, data, run)
    labels = oracle if five is None else np.concatenate([oracle, five], 1)  # one pass answers both

    rows: dict[str, Guesses] = {}
    chosen: dict[str, Guesses] = {}
    for test in tests:
        located = localize_all(models, data, run, labels, test)
        rows.setdefault(WHOLE, located.whole(oracle))
        for name, boxes in zip(names, located.boxes, strict=True):
            rows[f"{test}, true class{name}"] = Guesses(oracle, boxes[:, :1])
            if five is not None:
                chosen[f"{test}, top-{five.shape[1]}{name}"] = Guesses(five, boxes[:, 1:])
    if nets:
        section, views = rcnn_section(rcnns[0][0]), data.views_of(tests[-1].views, tests[-1].scales)
        refined = rescore_all(
            models, nets, dataset, labels, views, run, tests[-1].flip, section.proposals.count,
            combine=section.combine, workers=data.workers,
        )  # fmt: skip
        name = _names([path for _, path in rcnns])[-1]
        rows[f"{REFINED}, {tests[-1]}, true class{name}"] = Guesses(oracle, refined.boxes[:, :1])
        if five is not None:
            chosen[f"{REFINED}, {tests[-1]}, top-{five.shape[1]}{name}"] = Guesses(five, refined.boxes[:, 1:])
    return Evaluation(score_rows(rows | chosen, truth, skipped), dataset.ids, dataset.classes, dataset)


def best_classes(choice: ClassChoice, data: LocalizationData, run: Run) -> np.ndarray:
    """The five most probable classes of each test image, the surest first, int64 [N, 5]; all where there are fewer."""
    require(choice.cfg, "a classifier", "net", "data")
    if "type" in choice.cfg.data:
        raise UserError(f"{choice.cfg.filename}: classifies no photographs of any size; take another classifier")
    own = {key: value for key, value in choice.cfg.data.items() if key not in ("train", "test")}
    images = build_call(ClassificationData, own, test=data.test.images)
    nets = [(choice.cfg, path) for path in choice.checkpoints]
    scores = classify_set(images, run, nets, [choice.views]).scores[choice.views][data.test.lines]
    return np.argsort(-scores, axis=1, kind="stable")[:, :MOST_GUESSES]


def _names(paths: Sequence[Path]) -> list[str]:
    """What tells the rows of several localizers apart."""
    if len(paths) == 1:
        return [""]
    return [*(f", {path}" for path in paths), f", all {len(paths)}"]
