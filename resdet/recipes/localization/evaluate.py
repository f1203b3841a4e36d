"""Test localizers as Tables 13 and 14 do, row by row: by centre crop or densely, true class or a classifier's top five.

    data = build_localization_data(cfg, train=False)
    chosen = ClassChoice([(load_config("imagenet_r101"), Path("cls.pth"))], "dense")
    found = evaluate_localizer(data, run, [(cfg, Path("last.pth"))], [Test(), Test("dense")], chosen)
    print_evaluation(found)                                # recipes/localization/score.py

The first row is always the whole image as the box: what is right without any training. With R-CNN stages the last rows
of the true class and of the top five are of the boxes that they rescored: the proposals of the last test's views, so
that the difference from the row above, of the same images, is what the R-CNN adds. Of a set without truth, ILSVRC's
test, there are guesses for the top five alone, and no errors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resdet.data.localization.files import read_excluded
from resdet.data.settings import ClassificationData, LocalizationData
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import Config, build_call, require
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.metrics.localization_error import MOST_GUESSES, Guesses, object_shares
from resdet.recipes.classification.evaluate import View, classify_set
from resdet.recipes.localization.build import Localizer, load_localizer
from resdet.recipes.localization.inference import Test, localize_all
from resdet.recipes.localization.rcnn_build import load_rcnn, rcnn_section
from resdet.recipes.localization.rcnn_inference import rescore_all
from resdet.recipes.localization.rcnn_proposals import weights_digest
from resdet.recipes.localization.score import Evaluation, score_rows

WHOLE, REFINED, TRUE = "whole-image box", "RPN + R-CNN", "true class"

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class ClassChoice:
    """Who names the classes: classifiers' configs with a checkpoint each (of several the mean), and how they look.

    Images are read as the first config says.
    """

    nets: Sequence[tuple[Config, Path]]
    views: View = "center"


def evaluate_localizer(
    data: LocalizationData,
    run: Run,
    localizers: Sequence[tuple[Config, Path]],
    tests: Sequence[Test],
    choice: ClassChoice | None = None,
    excluded: Path | None = None,
    rcnns: Sequence[tuple[Config, Path]] = (),
) -> Evaluation:
    """The rows of the test set, on all processes.

    Args:
        data: whose test set is looked at.
        localizers: configs, for their models alone, with checkpoints; of several each has its row, then all together.
        tests: how they look at the images.
        choice: the five classes of each image; None: rows of the true class alone.
        excluded: a list of images that do not count (data/localization/files.read_excluded).
        rcnns: R-CNN stages, for what all localizers together propose; of several the mean. The number of proposals and
            how scores are combined are the first config's.

    Raises:
        UserError: a checkpoint is no localizer or no R-CNN stage or has other classes, or the classifier has; the set
            has no truth and nobody chooses classes.
    """
    dataset = data.test
    skipped = None if excluded is None else read_excluded(excluded, dataset.listed)[dataset.lines]
    models = [load_localizer(own, dataset.classes, path).to(run.device) for own, path in localizers]
    nets = [load_rcnn(own, dataset.classes, path).to(run.device) for own, path in rcnns]
    _warn_of_strangers(models, [path for _, path in rcnns])
    names = _names([path for _, path in localizers])
    tests = [test if test.vote is not None else replace(test, vote=data.vote) for test in tests]
    tables = _Tables(_asked(data, choice, run))

    for test in tests:
        located = localize_all(models, data, run, tables.labels, test)
        if TRUE in tables.rows:
            tables.rows[TRUE].setdefault(WHOLE, located.whole(tables.kinds[TRUE]))
        for name, boxes in zip(names, located.boxes, strict=True):
            tables.add(str(test), boxes, name)
    if nets:
        section, last = rcnn_section(rcnns[0][0]), tests[-1]
        refined = rescore_all(
            models, nets, dataset, tables.labels, data.views_of(last.views, last.scales), run, last.flip,
            section.proposals.count, combine=section.combine, vote=last.vote, workers=data.workers,
        )  # fmt: skip
        tables.add(f"{REFINED}, {last}", refined.boxes, _names([path for _, path in rcnns])[-1])
    guesses = tables.all_rows()
    if not dataset.labelled:
        return Evaluation(guesses, {}, dataset.ids, dataset.classes, dataset)
    truth = dataset.truth()
    shares = object_shares(truth, located.sizes)
    return Evaluation(guesses, score_rows(guesses, truth, skipped), dataset.ids, dataset.classes, dataset, shares)


def best_classes(choice: ClassChoice, data: LocalizationData, run: Run) -> np.ndarray:
    """The five most probable classes of each test image, the surest first, int64 [N, 5]; all where there are fewer."""
    cfg = choice.nets[0][0]
    for own, _ in choice.nets:
        require(own, "a classifier", "net", "data")
    if "type" in cfg.data:
        raise UserError(f"{cfg.filename}: classifies no photographs of any size; take another classifier")
    own_data = {key: value for key, value in cfg.data.items() if key not in ("train", "test")}
    images = build_call(ClassificationData, own_data, test=data.test.images)
    scores = classify_set(images, run, choice.nets, [choice.views]).scores[choice.views][data.test.lines]
    return np.argsort(-scores, axis=1, kind="stable")[:, :MOST_GUESSES]


class _Tables:
    """Guesses by row, in a table for each kind of classes, for which one pass finds all boxes.

    `kinds` has the classes of each, "true class" and "top-5", int64 [N, 1] and [N, 5]; `labels` all of them.
    """

    def __init__(self, kinds: Mapping[str, np.ndarray]) -> None:
        self.kinds = kinds
        self.labels = np.concatenate(list(kinds.values()), 1)  # [N, L]
        self.rows: dict[str, dict[str, Guesses]] = {kind: {} for kind in kinds}

    def add(self, test: str, boxes: np.ndarray, name: str) -> None:
        """A row in each table, of boxes [N, L, 4]."""
        ends = np.cumsum([labels.shape[1] for labels in self.kinds.values()])
        for (kind, labels), own in zip(self.kinds.items(), np.split(boxes, ends[:-1], axis=1), strict=True):
            self.rows[kind][f"{test}, {kind}{name}"] = Guesses(labels, own)

    def all_rows(self) -> dict[str, Guesses]:
        """One table after the other."""
        return {name: guesses for rows in self.rows.values() for name, guesses in rows.items()}


def _asked(data: LocalizationData, choice: ClassChoice | None, run: Run) -> dict[str, np.ndarray]:
    """For which classes boxes are wanted, by the name of the table."""
    kinds = {TRUE: data.test.labels[:, None]} if data.test.labelled else {}
    if choice is not None:
        five = best_classes(choice, data, run)
        kinds[f"top-{five.shape[1]}"] = five
    if not kinds:
        raise UserError("data.test: its classes are not public; name a classifier, which chooses five for each image")
    return kinds


def _warn_of_strangers(models: Sequence[Localizer], rcnns: Sequence[Path]) -> None:
    """An R-CNN stage refines the boxes of the localizer that it learned from; other boxes it may not know."""
    own = {weights_digest([model]) for model in models} if rcnns else set()
    for path in rcnns:
        if read_checkpoint(path).get("proposals", next(iter(own))) not in own:
            text = "%s learned from the proposals of another localizer than --checkpoint's; give both of one run"
            logger.warning(text, path)


def _names(paths: Sequence[Path]) -> list[str]:
    """What tells the rows of several localizers apart."""
    if len(paths) == 1:
        return [""]
    return [*(f", {path}" for path in paths), f", all {len(paths)}"]
