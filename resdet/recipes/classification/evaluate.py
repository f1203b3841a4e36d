"""Test a classifier, or an ensemble of several, by centre crops, ten crops or fully convolutionally (Sect. 3.4).

answers = evaluate_classifier(cfg, run, [(cfg, Path("last.pth"))], ["center", "ten-crop"])
answers.scores["center"]                       # [N, K]: class probabilities, the mean over the nets
print_answers(answers)
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

import numpy as np

from resdet.classification.classifier import Classifier
from resdet.classification.inference import SCALES, dense, ten_crop
from resdet.data.classification.imagenet import UNKNOWN, read_ilsvrc_ids
from resdet.data.settings import ClassificationData, Data
from resdet.data.transforms import CenterCrop
from resdet.engine.config import Config, require
from resdet.engine.distributed import gather_objects, get_rank, get_world_size
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.metrics.pairs import paired_difference
from resdet.metrics.topk import confusion_matrix, topk_error, topk_wrong
from resdet.recipes.classification.build import build_data, load_classifier
from resdet.report.tables import print_table, results_table

View = Literal["center", "ten-crop", "dense"]
CROP, CELL = 224, 32  # what the paper's sizes are for; pixels of a cell of the last map


@dataclass
class Answers:
    """What was asked, and the class probabilities by test."""

    image_ids: list[str]
    labels: np.ndarray  # int64 [N]; UNKNOWN: a set without labels
    classes: Sequence[str]
    scores: dict[str, np.ndarray]  # float32 [N, K] for each view; of several nets also "view, net"

    @property
    def labelled(self) -> bool:
        """Whether the set has labels; figures and confusions are of those that do."""
        return UNKNOWN not in self.labels

    def figures(self) -> dict[str, float]:
        """Top-1 and top-5 error of every test, in percent."""
        ks = [k for k in (1, 5) if k < len(self.classes)]
        return {f"{name}/top{k}_error": topk_error(s, self.labels, k) for name, s in self.scores.items() for k in ks}

    def confusion(self) -> np.ndarray:
        """Of the first test, int64 [K, K]: rows are true classes."""
        return confusion_matrix(next(iter(self.scores.values())), self.labels)


def evaluate_classifier(cfg: Config, run: Run, nets: Sequence[tuple[Config, Path]], views: Sequence[View]) -> Answers:
    """Class probabilities of the config's test set; of several nets each one's and their mean.

    Args:
        cfg: whose data are tested on.
        nets: configs, for their nets alone, with checkpoints.
        views: see resdet/classification/inference.py.

    Raises:
        UserError: a checkpoint has other classes, or its net does not fit; the data allow no other view than center.
    """
    require(cfg, "a classifier", "net", "data.test")
    return classify_set(build_data(cfg, train=False), run, nets, views)


def classify_set(data: Data, run: Run, nets: Sequence[tuple[Config, Path]], views: Sequence[View]) -> Answers:
    """As `evaluate_classifier`, of the test images of any data."""
    ids = [data.test.image_id(i) for i in range(len(data.test))]
    labels = np.zeros(len(ids), np.int64)
    scores: dict[str, np.ndarray] = {}
    for view in views:
        single = []
        for own, path in nets:
            classifier = load_classifier(own, data, path).to(run.device)
            table, labels = _answer(classifier, data, run, view, {name: i for i, name in enumerate(ids)})
            single.append(table)
        scores[view] = np.mean(single, axis=0)
        if len(single) > 1:
            scores |= {f"{view}, {path}": table for (_, path), table in zip(nets, single, strict=True)}
    return Answers(ids, labels, data.test.classes, scores)


def test_classifier(classifier: Classifier, data: Data, run: Run) -> Answers:
    """Class probabilities of the test view (the centre crop) alone, under the name "test"."""
    ids = [data.test.image_id(i) for i in range(len(data.test))]
    table, labels = _answer(classifier.eval(), data, run, "center", {name: i for i, name in enumerate(ids)})
    return Answers(ids, labels, data.test.classes, {"test": table})


def print_answers(answers: Answers) -> None:
    """A row for every test, and how its top-1 error differs from the first one's."""
    wrong = {name: 100 * topk_wrong(table, answers.labels, 1) for name, table in answers.scores.items()}
    first = next(iter(wrong))
    figures = answers.figures()
    rows = []
    for name, own in wrong.items():
        errors = [f"{figures[f'{name}/top{k}_error']:.2f}" for k in (1, 5) if f"{name}/top{k}_error" in figures]
        mean, deviation = paired_difference(wrong[first], own)
        rows.append([name, *errors, "" if name == first else f"{mean:+.2f} +- {deviation:.2f}"])
    columns = ["test", *[f"top-{k} error" for k in (1, 5) if k < len(answers.classes)], f"top-1 minus {first}'s"]
    print_table(results_table(f"{len(answers.labels)} images", columns, rows))


def write_predictions(path: Path, answers: Answers) -> None:
    """The five most probable classes of every image by name, as CSV, of the first test."""
    with _open(path) as file:
        writer = csv.writer(file)
        writer.writerow(["ImageId", "PredictionString"])
        for image_id, row in zip(answers.image_ids, _best_five(answers), strict=True):
            writer.writerow([Path(image_id).stem, " ".join(answers.classes[k] for k in row)])


def write_submission(path: Path, answers: Answers, mapping: Path) -> None:
    """ILSVRC's form, of the first test: a line an image in the list's order, five of the server's class numbers.

    Args:
        path: the text file to write.
        mapping: map_clsloc.txt of the development kit (data/classification/imagenet.read_ilsvrc_ids).
    """
    ids = read_ilsvrc_ids(mapping, answers.classes)
    with _open(path) as file:
        file.writelines(" ".join(map(str, row)) + "\n" for row in ids[_best_five(answers)])


def _best_five(answers: Answers) -> np.ndarray:
    table = next(iter(answers.scores.values()))
    return np.argsort(-table, axis=1, kind="stable")[:, :5]


def _open(path: Path) -> TextIO:
    try:
        return path.open("w", newline="")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error


def _answer(
    classifier: Classifier, data: Data, run: Run, view: View, index: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities [N, K] and labels [N] in the set's order, over all processes."""
    found: list[tuple[list[int], np.ndarray, np.ndarray]] = []
    for batches, predict in _passes(classifier, data, run, view):
        for batch in batches:
            with precision_context(run.precision, run.device):
                scores = predict(batch.images.to(run.device)).cpu().numpy()
            found.append(([index[name] for name in batch.image_ids], scores, batch.labels.cpu().numpy()))
    table = np.zeros((len(index), len(data.test.classes)), np.float32)
    labels = np.zeros(len(index), np.int64)
    seen = np.zeros(len(index), np.int64)
    for rows, scores, truth in gather_objects(found):
        table[rows] += scores
        labels[rows] = truth
        seen[rows] += 1
    return table / seen[:, None], labels


def _passes(classifier: Classifier, data: Data, run: Run, view: View) -> Iterator[tuple]:
    """(batches, how to answer one) of each pass over the test set: dense has one for each scale."""
    own = np.arange(get_rank(), len(data.test), get_world_size())
    if view == "center":
        yield data.testing(own, run.device), classifier.predict
        return
    if not isinstance(data, ClassificationData) or not isinstance(data.test_view, CenterCrop):
        raise UserError(f"--views {view}: these data have one view, center")
    size, short = data.test_view.size, data.test_view.short
    if view == "ten-crop":
        side = round(short * size / CROP)
        if side < size:
            raise UserError(f"data.test_view.short={short} leaves {side} pixels: too few for crops of {size}")
        yield data.whole(own, side, run.device, 10), lambda images: ten_crop(classifier, images, size)
        return
    for scale in SCALES:
        side = round(scale * size / CROP)
        whole = data.whole(own, side, run.device, 2 * (side / size) ** 2)
        yield whole, lambda images: dense(classifier, images, -(-size // CELL))
