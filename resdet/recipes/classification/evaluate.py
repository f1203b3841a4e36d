"""Test a classifier, or an ensemble of several, with centre crops, ten crops or fully convolutionally (Sect. 3.4).

answers = evaluate_classifier(cfg, run, [(cfg, Path("last.pth"))], ["center", "ten-crop"])
answers.scores["center"]                       # [N, K]: class probabilities, averaged over the nets
print_answers(answers)
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, get_args

import numpy as np
from torch import Tensor

from resdet.classification.classifier import Classifier
from resdet.classification.inference import TestMode, dense, ten_crop
from resdet.data.classification.cls_loc import UNKNOWN, read_ilsvrc_ids
from resdet.data.classification.settings import ClassificationData, Data
from resdet.data.sampling import spread_evenly
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
from resdet.structures import LabelledImages
from resdet.whole_files import whole_file

TEST = "test"  # the name of the test that ends a training
CROP, STRIDE = 224, 32  # the crop that the paper's scales are for; stride of the last feature map; in pixels


@dataclass
class Answers:
    """Class probabilities of a test set.

    Attributes:
        image_ids: [N].
        labels: int64 [N]; UNKNOWN for a set without labels.
        classes: names, by label.
        scores: by test mode, float32 [N, K]: averaged over the nets; of several nets also each one's, as "mode, file".
    """

    image_ids: list[str]
    labels: np.ndarray
    classes: Sequence[str]
    scores: dict[str, np.ndarray]

    @property
    def written(self) -> str:
        """The entry of `scores` that files of predictions hold: of the last test mode, of all nets together."""
        return [name for name in self.scores if name in get_args(TestMode) or len(self.scores) == 1][-1]

    @property
    def labelled(self) -> bool:
        """Whether the set has labels, which `figures` and `confusion` need."""
        return UNKNOWN not in self.labels

    def figures(self) -> dict[str, float]:
        """Top-1 error, and with more than five classes top-5 error, in percent: "center/top1_error"."""
        return {
            own: topk_error(table, self.labels, k)
            for name, table in self.scores.items()
            for own, k in figure_names(name, len(self.classes)).items()
        }

    def confusion(self) -> np.ndarray:
        """Confusion matrix of the entry `written`, int64 [K, K]: true classes by predicted classes."""
        return confusion_matrix(self.scores[self.written], self.labels)


def figure_names(name: str, classes: int) -> dict[str, int]:
    """The figures of the test `name`, "test/top1_error" and, with more than five classes, top-5: name to k."""
    return {f"{name}/top{k}_error": k for k in (1, 5) if k < classes}


def evaluate_classifier(
    cfg: Config, run: Run, nets: Sequence[tuple[Config, Path]], modes: Sequence[TestMode]
) -> Answers:
    """Classify the test set of a config with one net, or with an ensemble.

    Args:
        cfg: its section `data` is used.
        run: device and precision.
        nets: pairs of a config, of which only the net is used, and a checkpoint.
        modes: tests to make: the centre crop, ten crops, or dense: fully convolutional at several scales (Sect. 3.4).

    Returns:
        Class probabilities, on every process.

    Raises:
        UserError: a checkpoint has other classes or does not fit its config, or the data allow only the centre crop.
    """
    require(cfg, "a classifier", "net", "data.test")
    return classify_set(build_data(cfg, train=False), run, nets, modes)


def classify_set(data: Data, run: Run, nets: Sequence[tuple[Config, Path]], modes: Sequence[TestMode]) -> Answers:
    """Classify the test images of `data`, with the arguments, result and errors of `evaluate_classifier`."""
    ids = [data.test.image_id(i) for i in range(len(data.test))]
    labels = np.zeros(len(ids), np.int64)
    scores: dict[str, np.ndarray] = {}
    for mode in modes:
        single = []
        for own, path in nets:
            classifier = load_classifier(own, data, path).to(run.device)
            index = {name: i for i, name in enumerate(ids)}
            table, labels = _answer(classifier, data, run, mode, index, np.arange(len(ids)))
            single.append(table)
        scores[mode] = np.mean(single, axis=0)
        if len(single) > 1:
            scores |= {f"{mode}, {path}": table for (_, path), table in zip(nets, single, strict=True)}
    return Answers(ids, labels, data.test.classes, scores)


def test_classifier(classifier: Classifier, data: Data, run: Run, images: int) -> Answers:
    """Classify test images by their centre crops.

    Args:
        classifier: on the run's device; it is switched to evaluation mode.
        data: the test set.
        run: device and precision.
        images: size of a sample of the test set, spread evenly; 0: all.

    Returns:
        Class probabilities under the name TEST, on every process.
    """
    order = spread_evenly(len(data.test), images)
    ids = [data.test.image_id(i) for i in order.tolist()]
    index = {name: i for i, name in enumerate(ids)}
    table, labels = _answer(classifier.eval(), data, run, "center", index, order)
    return Answers(ids, labels, data.test.classes, {TEST: table})


def print_answers(answers: Answers) -> None:
    """Print a row per test, with its difference to the first one's top-1 error and that difference's standard error."""
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
    """Write the names of the five most probable classes of every image as CSV, from the entry `written`."""
    with _open(path) as file:
        writer = csv.writer(file)
        writer.writerow(["ImageId", "PredictionString"])
        for image_id, row in zip(answers.image_ids, _best_five(answers), strict=True):
            writer.writerow([Path(image_id).stem, " ".join(answers.classes[k] for k in row)])


def write_submission(path: Path, answers: Answers, mapping: Path) -> None:
    """Write ILSVRC's submission file: for each image a line with the numbers of the five most probable classes.

    Args:
        path: the text file to write.
        answers: in the order of the image list; the entry `written` of `scores` is used.
        mapping: map_clsloc.txt of the development kit, which has the server's numbers of the classes.

    Raises:
        UserError: the file cannot be written, or the mapping lacks a class.
    """
    ids = read_ilsvrc_ids(mapping, answers.classes)
    with _open(path) as file:
        file.writelines(" ".join(map(str, row)) + "\n" for row in ids[_best_five(answers)])


def _best_five(answers: Answers) -> np.ndarray:
    table = answers.scores[answers.written]
    return np.argsort(-table, axis=1, kind="stable")[:, :5]


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    try:
        with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error


def _answer(
    classifier: Classifier, data: Data, run: Run, mode: TestMode, index: dict[str, int], order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities [N, K] and labels [N] of the test images `order`, int64 [N], on every process.

    `index` has the place of an image id in `order`.
    """
    found: list[tuple[list[int], np.ndarray, np.ndarray]] = []
    for batches, predict in _passes(classifier, data, run, mode, order[get_rank() :: get_world_size()]):
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


def _passes(
    classifier: Classifier, data: Data, run: Run, mode: TestMode, own: np.ndarray
) -> Iterator[tuple[Iterable[LabelledImages], Callable[[Tensor], Tensor]]]:
    """For each pass over the test images `own` (dense has one per scale) the batches, and what classifies one."""
    if mode == "center":
        yield data.testing(own, run.device), classifier.predict
        return
    if not isinstance(data, ClassificationData) or not isinstance(data.test_view, CenterCrop):
        raise UserError(f"--views {mode}: these data allow the centre crop alone; give --views center")
    size, short = data.test_view.size, data.test_view.short
    if mode == "ten-crop":
        side = round(short * size / CROP)
        if side < size:
            raise UserError(f"data.test_view.short={short} leaves {side} pixels: too few for crops of {size}")
        yield data.whole(own, side, run.device, 10), lambda images: ten_crop(classifier, images, size)
        return
    for scale in data.scales:
        side = round(scale * size / CROP)
        whole = data.whole(own, side, run.device, 2 * (side / size) ** 2)
        yield whole, lambda images: dense(classifier, images, -(-size // STRIDE))
