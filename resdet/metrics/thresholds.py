"""Precision, recall and F1 at score thresholds, and for each class the threshold with the highest F1.

    result = evaluate_voc(detections, truth, num_classes=20)
    precision, recall, f1 = at_scores(result.classes[0], [0.5])
    for suggestion in suggest_thresholds(result.classes):
        suggestion.score, suggestion.precision, suggestion.recall, suggestion.f1

AP needs all detections, whereas people want to see few false ones. Scores of different classes are not comparable,
therefore each class has its own threshold. Choose it on other images than those of the final test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from resdet.metrics.flat import Array
from resdet.metrics.precision_recall import ClassResult


@dataclass(frozen=True)
class Suggestion:
    """A threshold of one class and the result with it; all NaN without ground truth, detections or hits."""

    score: float  # show detections with at least this score
    precision: float
    recall: float
    f1: float  # 2 * precision * recall / (precision + recall)


def at_scores(result: ClassResult, scores: ArrayLike) -> Array:
    """Precision, recall and F1 of the detections with at least each of S scores.

    Args:
        result: the curve of a class with objects.
        scores: [S].

    Returns:
        float64 [3, S], in 0..1; without a detection of that score precision is NaN, recall and F1 are 0.
    """
    kept = np.searchsorted(-np.asarray(result.score, float), -np.asarray(scores, float), side="right")
    precision, recall = np.append(np.nan, result.precision)[kept], np.append(0.0, result.recall)[kept]
    return np.stack([precision, recall, _f1(np.nan_to_num(precision), recall)])


def suggest_thresholds(classes: Sequence[ClassResult]) -> list[Suggestion]:
    """The score with the highest F1 of each class; among equal F1 the highest score.

    Detections with equal scores are counted together, because no threshold can separate them.

    Args:
        classes: the K precision-recall curves, such as `VocResult.classes`.

    Returns:
        K suggestions in the same order.
    """
    return [_suggest(result) for result in classes]


def _suggest(result: ClassResult) -> Suggestion:
    if not result.num_truth or not len(result.score):
        return Suggestion(*[float("nan")] * 4)
    last = np.append(result.score[1:] != result.score[:-1], True)  # the last point with each score
    score, precision, recall = result.score[last], result.precision[last], result.recall[last]
    f1 = _f1(precision, recall)
    if not f1.any():
        return Suggestion(*[float("nan")] * 4)
    best = int(f1.round(12).argmax())  # rounded, so that equal F1 compare equal; argmax takes the first
    return Suggestion(*(float(values[best]) for values in (score, precision, recall, f1)))


def _f1(precision: Array, recall: Array) -> Array:
    total = precision + recall
    f1: Array = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return f1
