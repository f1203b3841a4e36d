"""Which scores to show: a threshold a class, where precision and recall balance best on a validation set.

    result = evaluate_voc(detections, truth, num_classes=20)
    for suggestion in suggest_thresholds(result.classes):
        suggestion.score, suggestion.precision, suggestion.recall, suggestion.f1

AP needs all detections, people want few wrong ones: the scores of one class are no probabilities that another class
shares. Take the threshold from images that are not those of the final test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resdet.metrics.voc_ap import ClassResult


@dataclass(frozen=True)
class Suggestion:
    """The detections of one class with at least `score`. All NaN where nothing was to be found or is."""

    score: float
    precision: float
    recall: float
    f1: float  # 2 * precision * recall / (precision + recall)


def suggest_thresholds(classes: Sequence[ClassResult]) -> list[Suggestion]:
    """The score of the highest F1 of each class, [K]; of several the highest score.

    Detections of equal score are taken together, since no threshold can separate them.

    classes: the curves of `VocResult.classes`, by falling score; precision is the one measured at each point.
    """
    return [_suggest(result) for result in classes]


def _suggest(result: ClassResult) -> Suggestion:
    if not result.num_truth or not len(result.score):
        return Suggestion(*[float("nan")] * 4)
    last = np.append(result.score[1:] != result.score[:-1], True)  # of the points of one score
    score, precision, recall = result.score[last], result.precision[last], result.recall[last]
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    if not f1.any():
        return Suggestion(*[float("nan")] * 4)
    best = int(f1.round(12).argmax())  # equal but for their rounding: argmax takes the first, the highest score
    return Suggestion(*(float(values[best]) for values in (score, precision, recall, f1)))
