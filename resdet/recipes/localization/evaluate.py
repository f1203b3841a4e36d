"""Evaluate localizers as in Tables 13 and 14: 1-crop or dense, for the true class or for a classifier's top five.

    data = build_localization_data(cfg, train=False)
    choice = ClassChoice([(load_config("imagenet_r101"), Path("cls.pth"))], "dense")
    found = evaluate_localizer(data, run, [(cfg, Path("last.pth"))], [InferenceMode(), InferenceMode("dense")], choice)
    print_evaluation(found)                                # recipes/localization/score.py

The rows of the table: first the whole image as the box, the error without any training; then a row per mode; last, with
R-CNN stages, the rescored proposals of the last mode: first by the config's rule (its difference to the row above is
the effect of the R-CNN), then by the other rules. Files of predictions hold the row of the config's rule.
For a test set without ground truth (ILSVRC's test set) there are boxes for the top five only, and no errors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resdet.classification.inference import TestMode
from resdet.data.classification.settings import ClassificationData
from resdet.data.localization.files import read_excluded
from resdet.data.localization.settings import LocalizationData
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import Config, build_call, require
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.localization.rcnn import Combine, LocalizationRCNN
from resdet.metrics.localization_error import MOST_GUESSES, Guesses, object_shares
from resdet.recipes.classification.evaluate import classify_set
from resdet.recipes.localization.build import Localizer, load_localizer
from resdet.recipes.localization.inference import InferenceMode, localize_all
from resdet.recipes.localization.rcnn_build import load_rcnn, rcnn_section
from resdet.recipes.localization.rcnn_inference import RescoreSettings, rescore_all
from resdet.recipes.localization.rcnn_proposals import ProposalSpec, weights_digest
from resdet.recipes.localization.score import LocalizationEvaluation, score_rows

WHOLE, REFINED, TRUE = "whole-image box", "RPN + R-CNN", "true class"
RULES: tuple[Combine, ...] = ("replace", "odds", "keep")  # of the R-CNN stage's rows; all cost one pass

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class ClassChoice:
    """The classifiers that predict the classes to localize.

    Args:
        nets: (config, checkpoint) of each; the probabilities of several are averaged. Images are read as the first
            config says.
        views: how they are tested: "center", "ten-crop" or "dense".
        scales: short sides of the dense test, for crops of 224; None: the first config's `data.scales`.
    """

    nets: Sequence[tuple[Config, Path]]
    views: TestMode = "center"
    scales: Sequence[int] | None = None


def evaluate_localizer(
    data: LocalizationData,
    run: Run,
    localizers: Sequence[tuple[Config, Path]],
    modes: Sequence[InferenceMode],
    choice: ClassChoice | None = None,
    excluded: Path | None = None,
    rcnns: Sequence[tuple[Config, Path]] = (),
) -> LocalizationEvaluation:
    """Localization errors on the test set, computed on all processes.

    Args:
        data: whose test set is used.
        run: device, precision and processes.
        localizers: (config, checkpoint) of each; only the config's model is used. Several get a row each, and one for
            their ensemble.
        modes: how localizers are tested; the table has rows for each.
        choice: the classifiers that predict five classes per image; None for rows of the true class only.
        excluded: file with images that do not count (data/localization/files.read_excluded).
        rcnns: (config, checkpoint) of R-CNN stages, for the union of all localizers' proposals; the predictions of
            several are averaged. The first config gives the number of proposals and the rule of the final score.

    Raises:
        UserError: a checkpoint is of another kind of model or has other classes; the test set has no ground truth and
            `choice` is None.
    """
    dataset = data.test
    skipped = None if excluded is None else read_excluded(excluded, dataset.listed)[dataset.lines]
    models = [load_localizer(own, dataset.classes, path).to(run.device) for own, path in localizers]
    nets = [load_rcnn(own, dataset.classes, path).to(run.device) for own, path in rcnns]
    _warn_of_foreign_rcnns(models, [path for _, path in rcnns])
    names = _names([path for _, path in localizers])
    modes = [mode if mode.vote is not None else replace(mode, vote=data.vote) for mode in modes]
    tables = _Tables(_classes_to_localize(data, choice, run))
    for mode in modes:
        found = localize_all(models, data, run, tables.labels, mode)
        if TRUE in tables.rows:
            tables.rows[TRUE].setdefault(WHOLE, found.whole_images(tables.kinds[TRUE]))
        for name, boxes in zip(names, found.boxes, strict=True):
            written = tables.add(str(mode), boxes, name)
    if rcnns:
        written = _add_rcnn_rows(tables, models, nets, rcnns, data, modes[-1], run)
    guesses = tables.all_rows()
    if not dataset.labelled:
        return LocalizationEvaluation(guesses, {}, dataset.ids, dataset.classes, written, dataset)
    truth = dataset.truth()
    rows, shares = score_rows(guesses, truth, skipped), object_shares(truth, found.sizes)
    return LocalizationEvaluation(guesses, rows, dataset.ids, dataset.classes, written, dataset, shares)


def best_classes(choice: ClassChoice, data: LocalizationData, run: Run) -> np.ndarray:
    """The five most probable classes of each test image, int64 [N, 5], by descending probability; all if K < 5.

    Raises:
        UserError: a config is not of a classifier, or its data are not image files.
    """
    cfg = choice.nets[0][0]
    for own, _ in choice.nets:
        require(own, "a classifier", "net", "data")
    if "type" in cfg.data:
        raise UserError(f"{cfg.filename}: its classifier takes images of one size only; choose one for ImageNet")
    own_data = {key: value for key, value in cfg.data.items() if key not in ("train", "test")}
    own_data |= {"scales": tuple(choice.scales)} if choice.scales is not None else {}
    images = build_call(ClassificationData, own_data, test=data.test.images)
    scores = classify_set(images, run, choice.nets, [choice.views]).scores[choice.views][data.test.lines]
    return np.argsort(-scores, axis=1, kind="stable")[:, :MOST_GUESSES]


class _Tables:
    """One table of guesses per kind of classes. All kinds are localized in one pass over the images.

    Args:
        kinds: the classes of each kind: "true class" int64 [N, 1], "top-5" int64 [N, 5].

    Attributes:
        labels: the classes of all kinds, int64 [N, L].
        rows: kind -> name of the row -> guesses.
    """

    def __init__(self, kinds: Mapping[str, np.ndarray]) -> None:
        self.kinds = kinds
        self.labels = np.concatenate(list(kinds.values()), 1)  # [N, L]
        self.rows: dict[str, dict[str, Guesses]] = {kind: {} for kind in kinds}

    def add(self, mode: str, boxes: np.ndarray, name: str) -> str:
        """Add a row to each table, from boxes [N, L, 4] of all kinds. Returns the name of the last table's row."""
        ends = np.cumsum([labels.shape[1] for labels in self.kinds.values()])
        for (kind, labels), own in zip(self.kinds.items(), np.split(boxes, ends[:-1], axis=1), strict=True):
            row = f"{mode}, {kind}{name}"
            self.rows[kind][row] = Guesses(labels, own)
        return row

    def all_rows(self) -> dict[str, Guesses]:
        """The rows of all tables, one table after the other."""
        return {name: guesses for rows in self.rows.values() for name, guesses in rows.items()}


def _classes_to_localize(data: LocalizationData, choice: ClassChoice | None, run: Run) -> dict[str, np.ndarray]:
    """The classes of each image, int64 [N, L], by the name of their table."""
    kinds = {TRUE: data.test.labels[:, None]} if data.test.labelled else {}
    if choice is not None:
        five = best_classes(choice, data, run)
        kinds[f"top-{five.shape[1]}"] = five
    if not kinds:
        raise UserError("data.test has no ground truth; give a classifier, which predicts five classes per image")
    return kinds


def _add_rcnn_rows(
    tables: _Tables,
    models: Sequence[Localizer],
    nets: Sequence[LocalizationRCNN],
    rcnns: Sequence[tuple[Config, Path]],
    data: LocalizationData,
    mode: InferenceMode,
    run: Run,
) -> str:
    """Add the rows of the R-CNN stages `nets`, of `rcnns`, for the proposals of `mode`: one per rule.

    Returns:
        The name of the row by the first config's rule in the last table.
    """
    section = rcnn_section(rcnns[0][0])
    spec = ProposalSpec(data.test_crops(mode.views, mode.scales), mode.flip, section.proposals.count)
    rules = list(dict.fromkeys([section.combine, *RULES]))
    settings = RescoreSettings(rules, mode.vote, workers=data.workers)
    refined = rescore_all(models, nets, data.test, tables.labels, spec, run, settings)
    name = _names([path for _, path in rcnns])[-1]
    written = tables.add(f"{REFINED}, {mode}", refined.pop(section.combine).boxes, name)
    for rule, own in refined.items():
        tables.add(f"{REFINED} ({rule}), {mode}", own.boxes, name)
    return written


def _warn_of_foreign_rcnns(models: Sequence[Localizer], rcnns: Sequence[Path]) -> None:
    """Warn of R-CNN stages that were trained on the proposals of a localizer other than `models`."""
    own = {weights_digest([model]) for model in models} if rcnns else set()
    for path in rcnns:
        if read_checkpoint(path).get("proposals", next(iter(own))) not in own:
            text = "%s was trained on the proposals of another localizer than --checkpoint; use both from one run"
            logger.warning(text, path)


def _names(paths: Sequence[Path]) -> list[str]:
    """Suffixes of the rows of several localizers, and of their ensemble."""
    if len(paths) == 1:
        return [""]
    return [*(f", {path}" for path in paths), f", all {len(paths)}"]
