"""Compute the AP of detections by the rules of PASCAL VOC, ImageNet DET or COCO, from a detector or from result files.

evaluation = score(detections, dataset, rule="area")        # or "11-point", "ilsvrc", "coco"
evaluation.figures                                          # {"mAP50": .., ...}, the headline first, in 0..1
print_evaluation(evaluation, dataset, detections)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.coco import COCODataset, instances_of
from resdet.data.detection.coco_results import read_results
from resdet.data.detection.comp4 import read_comp4
from resdet.data.detection.settings import Rule
from resdet.data.detection.voc import VOC_CLASSES, VOCDataset
from resdet.metrics.coco_ap import FIGURES, evaluate_coco
from resdet.metrics.flat import FlatDetections, FlatTruth
from resdet.metrics.ilsvrc_ap import evaluate_ilsvrc_det
from resdet.metrics.precision_recall import ClassResult, Method
from resdet.metrics.thresholds import suggest_thresholds
from resdet.metrics.voc_ap import evaluate_voc, mean_ap_range
from resdet.report.tables import DASH, ap_table, format_ap, print_table, results_table

COCO_HEADLINES = {"AP50": "mAP50", "AP": "mAP50_95"}  # in the order of Table 8, under the names of the other rules

_SIZES = ("small", "medium", "large")
_AREAS = dict(zip(_SIZES, ("below 32x32 pixels", "to 96x96", "above"), strict=True))  # COCO's, in the image
_COCO_ORDER = [*COCO_HEADLINES, *(name for name in FIGURES if name not in COCO_HEADLINES)]
_VOC_NAMES = ["mAP50", "mAP50_95", *(f"mAP50_{size}" for size in _SIZES)]
_NAMES = {  # of figures, in their order, by rule; VOC's both have the same
    "ilsvrc": ["mAP50", *(f"mAP50_{size}" for size in _SIZES)],
    "coco": [COCO_HEADLINES.get(name, name) for name in _COCO_ORDER],
}


@dataclass
class Evaluation:
    """The AP of detections in a data set, as fractions 0..1; NaN where there are no objects.

    Attributes:
        rule: how AP was computed.
        figures: by name; the first is mAP at IoU 0.5.
        classes: [K], results at IoU 0.5.
        over_thresholds: [K], AP averaged over IoU 0.5:0.05:0.95; empty by VOC's and ImageNet DET's rules.
        best_scores: [K], score threshold with the highest F1 of a class at IoU 0.5.
    """

    rule: Rule
    figures: dict[str, float]
    classes: list[ClassResult]
    over_thresholds: list[float]
    best_scores: list[float]

    @property
    def logged(self) -> dict[str, float]:
        """The figures for the log, as "val/mAP50"."""
        return {f"val/{name}": figure for name, figure in self.figures.items()}


def logged_names(rule: Rule) -> list[str]:
    """The names of the figures that an evaluation by this rule has for the log, in their order: "val/mAP50"."""
    return [f"val/{name}" for name in _NAMES.get(rule, _VOC_NAMES)]


def score(detections: FlatDetections, dataset: DetectionDataset, rule: Rule = "area") -> Evaluation:
    """Compute the AP of detections.

    Args:
        detections: boxes in original pixels.
        dataset: the ground truth. VOC's and ImageNet DET's rules ignore crowds like difficult objects; COCO's rules
            treat difficult objects as crowds.
        rule: "area" or "11-point" (VOC), "ilsvrc" (ImageNet DET) or "coco".
    """
    if rule == "coco":
        return _score_coco(detections, dataset)
    return _score_ilsvrc(detections, dataset) if rule == "ilsvrc" else _score_voc(detections, dataset, rule)


def truth_of(dataset: DetectionDataset) -> FlatTruth:
    """All objects of a data set; crowds are marked as difficult."""
    table = dataset.table
    return FlatTruth(table.image_of_object(), table.labels, table.boxes, table.difficult | table.crowd)


def score_comp4(
    directory: Path, voc_root: Path, year: str, image_set: str, classes: list[str] | None, method: Method
) -> tuple[Evaluation, VOCDataset, FlatDetections]:
    """Score result files in VOC's comp4 format; no image is read.

    Args:
        directory: of the files comp4_det_SET_CLASS.txt.
        voc_root: folder VOCdevkit with the annotations.
        year: what follows "VOC" in the name of the folder: "2007".
        image_set: such as "test".
        classes: their names; None: VOC's twenty for a year of four digits, else those of the annotations.
        method: of the AP, "area" or "11-point".

    Returns:
        The evaluation, the data set, and the detections.

    Raises:
        UserError: a file is missing or malformed.
    """
    names = classes or (VOC_CLASSES if year.isdigit() and len(year) == 4 else None)
    dataset = VOCDataset(voc_root, [(year, image_set)], names)
    detections = read_comp4(directory, image_set, dataset.classes, dataset.table.ids.tolist())
    return score(detections, dataset, method), dataset, detections


def score_results(annotations: Path, results: Path) -> tuple[Evaluation, COCODataset, FlatDetections]:
    """Score a file of COCO results; no image is read.

    Args:
        annotations: COCO's JSON file.
        results: JSON file of detections in COCO's format.

    Returns:
        The evaluation, the data set, and the detections.

    Raises:
        UserError: a file is missing or malformed.
    """
    dataset = COCODataset(annotations.parent, [(".", annotations.name)], with_images=False)
    detections = read_results(results, dataset)
    return score(detections, dataset, "coco"), dataset, detections


def print_evaluation(evaluation: Evaluation, dataset: DetectionDataset, detections: FlatDetections) -> None:
    """Print AP by class and mAP, in percent; "best score" is the score threshold with the highest F1."""
    if not any(c.num_truth for c in evaluation.classes):
        print(f"{len(detections)} detections in {len(dataset)} images; no annotations, nothing to score")
        return
    at_50 = [c.ap for c in evaluation.classes]
    counts = {
        "objects": [c.num_truth for c in evaluation.classes],
        "detections": np.bincount(detections.label, minlength=len(dataset.classes)).tolist(),
        "best score": ["-" if np.isnan(s) else f"{s:.2f}" for s in evaluation.best_scores],
    }
    figures = evaluation.figures
    if evaluation.rule != "coco":
        print_table(ap_table(dataset.classes, at_50, counts, f"AP@.5 ({evaluation.rule})"))
        sizes = ", ".join(f"{s} ({area}) {_fraction(figures[f'mAP50_{s}'])}" for s, area in _AREAS.items())
        print(f"mAP@.5 {figures['mAP50']:.4f} ({evaluation.rule}); objects by area: {sizes}")
        return
    columns = {"AP@.5": [format_ap(ap) for ap in at_50], **counts}
    print_table(ap_table(dataset.classes, evaluation.over_thresholds, columns, "AP@[.5,.95] (COCO)"))
    print(f"mAP@.5 {figures['mAP50']:.4f}, mAP@[.5,.95] {figures['mAP50_95']:.4f} (COCO)")
    rows = [(name, format_ap(figure)) for name, figure in figures.items() if name not in COCO_HEADLINES.values()]
    print_table(results_table("COCO's other ten figures", ["", "percent"], rows))


def _fraction(ap: float) -> str:
    return DASH if np.isnan(ap) else f"{ap:.4f}"


def all_figures(evaluation: Evaluation, dataset: DetectionDataset, detections: FlatDetections) -> dict[str, Any]:
    """The content of --json: figures, AP and best score by class, numbers of images and detections."""
    named = zip(dataset.classes, evaluation.classes, strict=True)
    per_class = {name: None if np.isnan(c.ap) else c.ap for name, c in named}
    best = zip(dataset.classes, evaluation.best_scores, strict=True)
    best_scores = {name: None if np.isnan(s) else round(s, 4) for name, s in best}
    counts = {"images": len(dataset), "detections": len(detections)}
    figures = {"rule": evaluation.rule, **evaluation.figures, "per_class": per_class, "best_scores": best_scores}
    return figures | counts


def _score_voc(detections: FlatDetections, dataset: DetectionDataset, method: Method) -> Evaluation:
    truth = truth_of(dataset)
    result = evaluate_voc(detections, truth, len(dataset.classes), method=method)
    over = mean_ap_range(detections, truth, len(dataset.classes), method=method)
    values = [result.mean_ap, over, *(result.by_size[size] for size in _SIZES)]
    figures = dict(zip(_VOC_NAMES, values, strict=True))
    return Evaluation(method, figures, result.classes, [], _best_scores(result.classes))


def _score_ilsvrc(detections: FlatDetections, dataset: DetectionDataset) -> Evaluation:
    """mAP at the task's IoU thresholds, which are lower than 0.5 for small objects."""
    excluded = getattr(dataset, "excluded", None)  # ImageNetDETDataset's
    result = evaluate_ilsvrc_det(detections, truth_of(dataset), len(dataset.classes), excluded)
    values = [result.mean_ap, *(result.by_size[size] for size in _SIZES)]
    figures = dict(zip(_NAMES["ilsvrc"], values, strict=True))
    return Evaluation("ilsvrc", figures, result.classes, [], _best_scores(result.classes))


def _score_coco(detections: FlatDetections, dataset: DetectionDataset) -> Evaluation:
    result = evaluate_coco(instances_of(dataset), detections)
    values = [result.figures[name] for name in _COCO_ORDER]
    figures = dict(zip(_NAMES["coco"], values, strict=True))
    # COCO's evaluation does not keep the precision at each detection: the best scores are from VOC's curves.
    measured = evaluate_voc(detections, truth_of(dataset), len(dataset.classes)).classes
    return Evaluation("coco", figures, result.classes, result.over_thresholds.tolist(), _best_scores(measured))


def _best_scores(classes: list[ClassResult]) -> list[float]:
    return [suggestion.score for suggestion in suggest_thresholds(classes)]
