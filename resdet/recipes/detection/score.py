"""Score detections by PASCAL VOC's, ImageNet DET's or COCO's rules, from a detector or from files alone.

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
from resdet.data.detection.coco import COCODataset, instances_of, read_results
from resdet.data.detection.voc import VOC_CLASSES, VOCDataset, read_comp4
from resdet.data.settings import Rule
from resdet.metrics.coco_ap import FIGURES, evaluate_coco
from resdet.metrics.thresholds import suggest_thresholds
from resdet.metrics.voc_ap import (
    ClassResult,
    FlatDetections,
    FlatTruth,
    Method,
    evaluate_ilsvrc_det,
    evaluate_voc,
    mean_ap_range,
)
from resdet.report.tables import ap_table, format_ap, print_table, results_table

COCO_HEADLINES = {"AP50": "mAP50", "AP": "mAP50_95"}  # the paper's order (Table 8), under the names of all rules


@dataclass
class Evaluation:
    """What a rule says of the detections in a data set. Fractions, not percent; NaN where nothing was to be found."""

    rule: Rule
    figures: dict[str, float]  # the first is the headline, mAP at IoU .5
    classes: list[ClassResult]  # [K], at IoU .5
    over_thresholds: list[float]  # [K], AP over .5:.05:.95; empty by VOC's rules
    best_scores: list[float]  # [K], from which score on a class has the highest F1 at IoU .5

    @property
    def logged(self) -> dict[str, float]:
        """The figures by name, for the log."""
        return {f"val/{name}": figure for name, figure in self.figures.items()}


def score(detections: FlatDetections, dataset: DetectionDataset, rule: Rule = "area") -> Evaluation:
    """By VOC's or ImageNet DET's rules crowds count as difficult; by COCO's difficult objects are crowds."""
    if rule == "coco":
        return _score_coco(detections, dataset)
    return _score_ilsvrc(detections, dataset) if rule == "ilsvrc" else _score_voc(detections, dataset, rule)


def truth_of(dataset: DetectionDataset) -> FlatTruth:
    """All objects of a data set; those in crowds count as difficult."""
    table = dataset.table
    return FlatTruth(table.image_of_object(), table.labels, table.boxes, table.difficult | table.crowd)


def score_comp4(
    directory: Path, voc_root: Path, year: str, image_set: str, classes: list[str] | None, method: Method
) -> tuple[Evaluation, VOCDataset, FlatDetections]:
    """Score comp4 files alone. Without `classes`: VOC's twenty for a four-digit year, else those annotated."""
    names = classes or (VOC_CLASSES if year.isdigit() and len(year) == 4 else None)
    dataset = VOCDataset(voc_root, [(year, image_set)], names)
    detections = read_comp4(directory, image_set, dataset.classes, dataset.table.ids.tolist())
    return score(detections, dataset, method), dataset, detections


def score_results(annotations: Path, results: Path) -> tuple[Evaluation, COCODataset, FlatDetections]:
    """Score a file of COCO results alone; no image is opened."""
    dataset = COCODataset(annotations.parent, [(".", annotations.name)])
    detections = read_results(results, dataset)
    return score(detections, dataset, "coco"), dataset, detections


def print_evaluation(evaluation: Evaluation, dataset: DetectionDataset, detections: FlatDetections) -> None:
    """The table by class and the means, in percent; "best score" is where to cut a class for the highest F1."""
    if not any(c.num_truth for c in evaluation.classes):
        print(f"{len(detections)} detections in {len(dataset)} images; the set has no answers: nothing to score")
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
        sizes = ", ".join(f"{s} {format_ap(figures[f'mAP50_{s}'])}" for s in ("small", "medium", "large"))
        print(f"mAP@.5 {figures['mAP50']:.4f} ({evaluation.rule}); in percent by size: {sizes}")
        return
    columns = {"AP@.5": [format_ap(ap) for ap in at_50], **counts}
    print_table(ap_table(dataset.classes, evaluation.over_thresholds, columns, "AP@[.5,.95] (COCO)"))
    print(f"mAP@.5 {figures['mAP50']:.4f}, mAP@[.5,.95] {figures['mAP50_95']:.4f} (COCO)")
    rows = [(name, format_ap(figure)) for name, figure in figures.items() if name not in COCO_HEADLINES.values()]
    print_table(results_table("COCO's other ten figures", ["", "percent"], rows))


def all_figures(evaluation: Evaluation, dataset: DetectionDataset, detections: FlatDetections) -> dict[str, Any]:
    """Everything that --json writes."""
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
    sizes = {f"mAP50_{size}": ap for size, ap in result.by_size.items()}
    figures = {"mAP50": result.mean_ap, "mAP50_95": over, **sizes}
    return Evaluation(method, figures, result.classes, [], _best_scores(result.classes))


def _score_ilsvrc(detections: FlatDetections, dataset: DetectionDataset) -> Evaluation:
    """mAP at the task's own IoU, which is .5 for all but small objects."""
    excluded = getattr(dataset, "excluded", None)  # ImageNetDETDataset's
    result = evaluate_ilsvrc_det(detections, truth_of(dataset), len(dataset.classes), excluded)
    sizes = {f"mAP50_{size}": ap for size, ap in result.by_size.items()}
    figures = {"mAP50": result.mean_ap, **sizes}
    return Evaluation("ilsvrc", figures, result.classes, [], _best_scores(result.classes))


def _score_coco(detections: FlatDetections, dataset: DetectionDataset) -> Evaluation:
    result = evaluate_coco(instances_of(dataset), detections)
    names = [*COCO_HEADLINES, *(name for name in FIGURES if name not in COCO_HEADLINES)]
    figures = {COCO_HEADLINES.get(name, name): result.figures[name] for name in names}
    # pycocotools keeps no precision at each detection: the curves for the scores are VOC's.
    measured = evaluate_voc(detections, truth_of(dataset), len(dataset.classes)).classes
    return Evaluation("coco", figures, result.classes, result.over_thresholds.tolist(), _best_scores(measured))


def _best_scores(classes: list[ClassResult]) -> list[float]:
    return [suggestion.score for suggestion in suggest_thresholds(classes)]
