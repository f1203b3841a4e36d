"""Localization errors of guesses or of prediction files, printed as a table or returned as numbers.

found = score_files(Path("predictions.csv"), Path("LOC_val_solution.csv"), excluded=Path("blacklist.txt"))
print_evaluation(found)
found.figures()                             # {"predictions.csv": {"localization_error": .., ...}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.classification.cls_loc import read_ilsvrc_ids, read_mapping
from resdet.data.image_files import listed_stem
from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.files import (
    read_excluded,
    read_predictions,
    read_solution,
    write_ilsvrc,
    write_kaggle,
)
from resdet.data.text_files import read_lines
from resdet.errors import UserError
from resdet.metrics.localization_error import (
    SHARES,
    Guesses,
    LocalizationResult,
    LocalizationTruth,
    error_by_share,
    localization_error,
)
from resdet.metrics.pairs import paired_difference
from resdet.report.tables import DASH, print_table, results_table


@dataclass
class Row:
    """The errors of one row of the table."""

    result: LocalizationResult
    difference: tuple[float, float] | None  # to the row above, paired by image: mean and standard error, in percent

    def errors(self) -> dict[str, float]:
        """The four errors in percent, by name."""
        return {
            "localization_error": self.result.localization,
            "top1_localization_error": self.result.localization_top1,
            "top5_error": self.result.top5,
            "top1_error": self.result.top1,
        }


@dataclass
class LocalizationEvaluation:
    """Guesses and their errors, by row in the order of the table, for N images."""

    guesses: dict[str, Guesses]
    rows: dict[str, Row]  # empty if there is no ground truth
    ids: list[str]  # [N]
    classes: Sequence[str]
    written: str  # the row that files of predictions hold and pictures show
    dataset: LocalizationDataset | None = None  # None if prediction files were scored
    shares: np.ndarray | None = None  # float64 [N], object_shares; None if prediction files were scored

    @property
    def chosen(self) -> Guesses:
        """The guesses of the row `written`."""
        return self.guesses[self.written]

    @property
    def counted(self) -> np.ndarray:
        """Which images count for the localization error, bool [N]."""
        return list(self.rows.values())[-1].result.counted

    def figures(self) -> dict[str, Any]:
        """Number of images that count, and the errors of each row in percent, as JSON values."""
        if not self.rows:
            return {"images": len(self.ids)}
        counted = self.counted
        return {"images": len(counted), "counted": int(counted.sum())} | {
            name: {
                **row.errors(),
                "difference": None if row.difference is None else row.difference[0],
                "standard_error": None if row.difference is None else row.difference[1],
            }
            | ({} if self.shares is None else {"error_by_share": self.by_share(row)})
            for name, row in self.rows.items()
        }

    def by_share(self, row: Row) -> list[float | None]:
        """A row's error for each range of `SHARES`, the area of the largest object over the image's, in percent.

        Ranges without an image are None.

        Raises:
            ValueError: prediction files were scored, so that the sizes of the images are unknown.
        """
        if self.shares is None:
            raise ValueError("object sizes are known only where a localizer was run on the images")
        counted = self.counted
        errors = error_by_share(row.result.wrong[counted], self.shares[counted])
        return [None if np.isnan(error) else error for error in errors.tolist()]


def score_rows(
    guesses: Mapping[str, Guesses], truth: LocalizationTruth, excluded: np.ndarray | None = None
) -> dict[str, Row]:
    """Compute the errors of each row of `guesses`, with the difference to the row before.

    Args:
        guesses: boxes and classes by row.
        truth: ground truth of the same images.
        excluded: bool [N], images that do not count.
    """
    rows: dict[str, Row] = {}
    above: np.ndarray | None = None
    for name, own in guesses.items():
        result = localization_error(own, truth, excluded)
        wrong = 100 * result.wrong[result.counted]
        rows[name] = Row(result, None if above is None else paired_difference(above, wrong))
        above = wrong
    return rows


def score_files(
    predictions: Path,
    ground_truth: Path,
    excluded: Path | None = None,
    mapping: Path | None = None,
    class_ids: Path | None = None,
    image_list: Path | None = None,
) -> LocalizationEvaluation:
    """Score a prediction file in Kaggle's or ILSVRC's format. The images are not needed.

    Args:
        predictions: the file, in either format.
        ground_truth: LOC_val_solution.csv.
        excluded: file with images that do not count (data/localization/files.read_excluded).
        mapping: LOC_synset_mapping.txt; None: the one in the folder of `ground_truth`.
        class_ids: the development kit's map_clsloc.txt, needed for ILSVRC's format.
        image_list: the images in order, needed for ILSVRC's format and for `excluded`; None: the list in
            ILSVRC/ImageSets/CLS-LOC below the folder of `ground_truth`, or sorted by name, which is ILSVRC's order.

    Raises:
        UserError: a file is missing or malformed, or the files have different images or classes.
    """
    classes, _ = read_mapping(mapping or ground_truth.parent / "LOC_synset_mapping.txt")
    solution = read_solution(ground_truth, classes)
    ids = _listed(image_list or _usual_list(ground_truth), ground_truth, solution.ids)
    place = {image_id: i for i, image_id in enumerate(ids)}
    order = np.array([place[image_id] for image_id in solution.ids], np.int64)  # rows of any order
    found = solution.truth()
    labels = np.zeros(len(ids), np.int64)
    labels[order] = found.labels
    truth = LocalizationTruth(labels, found.boxes, order[found.image])
    numbers = None if class_ids is None else read_ilsvrc_ids(class_ids, classes)
    guesses = read_predictions(predictions, ids, classes, numbers)
    skipped = None if excluded is None else read_excluded(excluded, ids)
    named = {predictions.name: guesses}
    return LocalizationEvaluation(named, score_rows(named, truth, skipped), ids, classes, predictions.name)


def write_predictions(path: Path, evaluation: LocalizationEvaluation, class_ids: Path | None = None) -> None:
    """Write the guesses of the row `evaluation.written`: in ILSVRC's format if `path` ends in .txt, else in Kaggle's.

    `class_ids` is map_clsloc.txt, which ILSVRC's format needs.
    """
    numbers = server_numbers(path, evaluation.classes, class_ids)
    if numbers is None:
        write_kaggle(path, evaluation.chosen, evaluation.ids, evaluation.classes)
        return
    write_ilsvrc(path, evaluation.chosen, numbers)


def server_numbers(path: Path, classes: Sequence[str], class_ids: Path | None) -> np.ndarray | None:
    """ILSVRC's class numbers, int64 [K], if the predictions file `path` needs them; None for Kaggle's format.

    Raises:
        UserError: `class_ids` is None, unreadable, or has other classes.
    """
    if path.suffix != ".txt":
        return None
    if class_ids is None:
        raise UserError(f"{path}: ILSVRC's format needs the server's class numbers; give map_clsloc.txt as --class-ids")
    return read_ilsvrc_ids(class_ids, classes)


def print_evaluation(evaluation: LocalizationEvaluation) -> None:
    """Print the table of errors, with each row's difference to the row above, and errors by object size."""
    if not evaluation.rows:
        print(f"{len(evaluation.ids)} images without truth: no errors to compute")
        return
    rows = []
    for name, row in evaluation.rows.items():
        chosen = evaluation.guesses[name].labels.shape[1] > 1
        difference = "" if row.difference is None else f"{row.difference[0]:+.2f} +- {row.difference[1]:.2f}"
        single = f"{row.result.localization_top1:.2f}" if chosen else DASH
        classes = f"{row.result.top5:.2f}" if chosen else DASH
        rows.append([name, f"{row.result.localization:.2f}", single, classes, difference])
    columns = ["test", "error", "first guess", "class error", "minus the row above"]
    counted = evaluation.counted
    left_out = f", {(~counted).sum()} of them excluded" if not counted.all() else ""
    print_table(results_table(f"{len(counted)} images{left_out}: localization error (%)", columns, rows))
    if evaluation.shares is not None:
        _print_by_share(evaluation, evaluation.shares[counted])


def _print_by_share(evaluation: LocalizationEvaluation, shares: np.ndarray) -> None:
    images = np.histogram(shares[~np.isnan(shares)], [0, *SHARES, np.inf])[0]
    rows = [["images", *(str(count) for count in images)]]
    for name, row in evaluation.rows.items():
        rows.append([name, *(DASH if error is None else f"{error:.1f}" for error in evaluation.by_share(row))])
    title = "error (%) by the largest object's share of the image"
    print_table(results_table(title, ["test", "< 1/16", "< 1/4", "< 1/2", ">= 1/2"], rows))


def _usual_list(ground_truth: Path) -> Path | None:
    named = re.fullmatch(r"LOC_(\w+)_solution\.csv", ground_truth.name)
    if named is None:
        return None
    path = ground_truth.parent / "ILSVRC/ImageSets/CLS-LOC" / f"{named[1]}.txt"
    return path if path.is_file() else None


def _listed(path: Path | None, ground_truth: Path, ids: Sequence[str]) -> list[str]:
    """The ids in the order of the list at `path`, or sorted; they must be those of the ground truth."""
    if path is None:
        return sorted(ids)
    lines = read_lines(path, f"give the list of images of {ground_truth.name}")
    listed = [listed_stem(line.split()[0], where).rpartition("/")[2] for where, line in lines]
    other = set(listed) ^ set(ids)
    if other or len(listed) != len(ids):
        raise UserError(f"{path} and {ground_truth} have different images: only one has '{min(other, default='')}'")
    return listed
