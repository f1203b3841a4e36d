"""Error analysis of a detector: kinds of errors and their cost, confusions, precision and recall, the worst images.

report = analyse_errors(detections, dataset, score=0.5)
print_reports([report])
pictures = worst_pictures(report, dataset, detections, count=12)         # error_pictures.py
write_report(report, dataset, pictures, Path("runs/mine/errors"))
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.annotations import DetectionDataset
from resdet.metrics.confusion import confusion_matrix
from resdet.metrics.error_kinds import KINDS, MISSED, DetectionErrors, find_errors
from resdet.metrics.flat import Array, FlatDetections, FlatTruth, paired_iou
from resdet.metrics.precision_recall import ClassResult
from resdet.metrics.thresholds import at_scores, suggest_thresholds
from resdet.metrics.voc_ap import evaluate_voc
from resdet.recipes.detection.score import truth_of
from resdet.report.canvas import Image
from resdet.report.image_files import save_image
from resdet.report.tables import format_ap, print_table, results_table
from resdet.whole_files import whole_file

BACKGROUND = "background"
MOST_CONFUSIONS = 8  # lines printed
COLUMNS = ("ap", "precision", "recall", "f1", "best_score", "best_f1", "objects")
TITLES = ("AP@.5", "precision", "recall", "F1", "best score", "its F1", "objects")  # of COLUMNS


@dataclass
class ErrorReport:
    """Errors of one detector on one data set.

    Attributes:
        name: of the detector, for tables.
        classes: names, by label.
        score: detections with a lower score are left out of `confusion`, precision, recall and F1.
        errors: the kind of every detection at IoU 0.5, whatever its score.
        confusion: int64 [K + 1, K + 1], rows: true class, columns: detected class; the background last.
        curves: [K], precision and recall at IoU 0.5; AP is VOC's, by area.
        per_class: by class, the values of COLUMNS.
        groups: AP of small, medium, large, crowded and single objects; NaN where there are none.
        num_images: of the data set.
    """

    name: str
    classes: Sequence[str]
    score: float
    errors: DetectionErrors
    confusion: Array
    curves: Sequence[ClassResult]
    per_class: dict[str, dict[str, float]]
    groups: dict[str, float]
    num_images: int

    @cached_property
    def image_costs(self) -> Array:
        """mAP lost by each image, in 0..1: float [images]. Takes a minute and a half for COCO's 5,000 images."""
        return self.errors.costs_of_images(self.num_images)

    def plain(self, ids: Sequence[str]) -> dict[str, Any]:
        """The report as plain data, for JSON; NaN becomes None.

        Args:
            ids: of the images.
        """
        order = np.argsort(-self.image_costs, kind="stable")
        worst = {str(ids[i]): self.image_costs[i].item() for i in order if self.image_costs[i] > 0}
        per_class = {name: {k: _or_none(v) for k, v in row.items()} for name, row in self.per_class.items()}
        return {
            "name": self.name, "score": self.score, "mAP50": self.errors.mean_ap(),
            "costs": self.errors.costs(), "counts": self.errors.counts(),
            "cost_of_false_positives": self.errors.cost_of_false_positives(),
            "cost_of_false_negatives": self.errors.cost_of_false_negatives(),
            "per_class": per_class, "groups": {k: _or_none(v) for k, v in self.groups.items()},
            "confusion": {"classes": [*self.classes, BACKGROUND], "counts": self.confusion.tolist()},
            "worst_images": worst,
        }  # fmt: skip


def analyse_errors(
    detections: FlatDetections, dataset: DetectionDataset, score: float = 0.5, name: str = "detector"
) -> ErrorReport:
    """Analyse the detections of a whole data set.

    Args:
        detections: boxes in original pixels.
        dataset: the ground truth; crowds are ignored like difficult objects.
        score: threshold of the confusion matrix, of precision, recall and F1; in 0..1.
        name: of the detector.
    """
    truth, count = truth_of(dataset), len(dataset.classes)
    result = evaluate_voc(detections, truth, count)
    best = suggest_thresholds(result.classes)
    rows = {}
    for label, (curve, suggestion) in enumerate(zip(result.classes, best, strict=True)):
        row = {"ap": curve.ap, **_at(curve, score), "best_score": suggestion.score, "best_f1": suggestion.f1}
        rows[dataset.classes[label]] = row | {"objects": float(curve.num_truth)}
    crowded = _crowded(truth)
    groups = dict(result.by_size)
    for title, others in (("crowded", ~crowded), ("single", crowded)):
        part = FlatTruth(truth.image, truth.label, truth.box, truth.difficult | others)
        groups[title] = evaluate_voc(detections, part, count).mean_ap
    errors = find_errors(detections, truth, count)
    confusion = confusion_matrix(detections, truth, count, score)
    return ErrorReport(
        name, list(dataset.classes), score, errors, confusion, result.classes, rows, groups, len(dataset)
    )


def print_reports(reports: Sequence[ErrorReport]) -> None:
    """Print the cost of the errors, several detectors side by side; then classes and confusions of the first."""
    names = [report.name for report in reports]
    costs, counts = [r.errors.costs() for r in reports], [r.errors.counts() for r in reports]
    lines = [
        [kind, *(f"{100 * c[kind]:.1f} ({n[kind]:,})" for c, n in zip(costs, counts, strict=True))]
        for kind in (*KINDS, MISSED)
    ]
    lines.append(["mAP@.5 (101 recalls)", *(format_ap(report.errors.mean_ap()) for report in reports)])
    print_table(results_table("mAP that errors cost, in percent (their number)", ["error", *names], lines))
    first = reports[0]
    title = f"{first.name} at a score of {first.score:g}, in percent"
    print_table(results_table(title, ["class", *TITLES], class_rows(first)))
    print("AP@.5 by group: " + ", ".join(f"{name} {format_ap(ap)}" for name, ap in first.groups.items()))
    for count, true, found in _confusions(first)[:MOST_CONFUSIONS]:
        print(f"{count:6,} x {true} detected as {found}")


def class_rows(report: ErrorReport) -> list[list[str]]:
    """A row per class as it is shown: its name, and the values of COLUMNS."""
    return [
        [name, *(format_ap(row[c]) for c in COLUMNS[:4]), _number(row["best_score"]), format_ap(row["best_f1"]),
         f"{row['objects']:,.0f}"]
        for name, row in report.per_class.items()
    ]  # fmt: skip


def write_report(
    report: ErrorReport, dataset: DetectionDataset, pictures: Sequence[tuple[str, float, Image]], folder: Path
) -> None:
    """Write errors.json, classes.csv, confusion.csv, and pictures of the images that cost most.

    Args:
        report: the errors.
        dataset: whose image ids are written.
        pictures: of `worst_pictures`, written as worst/RANK_ID.jpg.
        folder: of the files; created if missing.
    """
    (folder / "worst").mkdir(parents=True, exist_ok=True)
    _write(folder / "errors.json", json.dumps(report.plain(dataset.table.ids.tolist()), indent=1))
    _write(folder / "classes.csv", _csv(["class", *COLUMNS], [[n, *r.values()] for n, r in report.per_class.items()]))
    names = [*report.classes, BACKGROUND]
    rows = [[name, *counts] for name, counts in zip(names, report.confusion.tolist(), strict=True)]
    _write(folder / "confusion.csv", _csv(["true class", *names], rows))
    for rank, (image_id, _, picture) in enumerate(pictures, 1):
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in image_id)[:80]
        save_image(folder / "worst" / f"{rank:02}_{name}.jpg", picture)


def _at(curve: ClassResult, score: float) -> dict[str, float]:
    """Precision, recall and F1 of the detections with at least this score; NaN without objects."""
    values = at_scores(curve, [score])[:, 0].tolist() if curve.num_truth else [np.nan] * 3
    return dict(zip(("precision", "recall", "f1"), values, strict=True))


def _crowded(truth: FlatTruth) -> Array:
    """Objects whose box overlaps another of the same class in the image: bool [G]."""
    crowded = np.zeros(len(truth), bool)
    for image in np.unique(truth.image):
        rows = np.flatnonzero(truth.image == image)
        box = truth.box[rows].astype(np.float64)
        iou = paired_iou(*np.broadcast_arrays(box[:, None], box[None]))
        iou[(truth.label[rows][:, None] != truth.label[rows]) | np.eye(len(rows), dtype=bool)] = 0
        crowded[rows] = (iou > 0).any(1)
    return crowded


def _confusions(report: ErrorReport) -> list[tuple[int, str, str]]:
    """(count, true class, detected class) for pairs of different classes without background, most frequent first."""
    found = [
        (int(report.confusion[i, j]), true, other)
        for i, true in enumerate(report.classes)
        for j, other in enumerate(report.classes)
        if i != j and report.confusion[i, j]
    ]
    return sorted(found, key=lambda line: -line[0])


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
