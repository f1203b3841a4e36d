"""Score thresholds for showing detections: for each class the one with the highest F1 on a validation set.

    result = evaluate_voc(detections, truth, num_classes=20)
    for suggestion in suggest_thresholds(result.classes):
        suggestion.score, suggestion.precision, suggestion.recall, suggestion.f1

AP needs all detections, whereas people want to see few false ones. Scores of different classes are not comparable,
therefore each class has its own threshold. Choose it on other images than those of the final test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resdet.metrics.precision_recall import ClassResult


@dataclass(frozen=True)
class Suggestion:
    """A threshold of one class and the result with it; all NaN without ground truth, detections or hits."""

    score: float  # show detections with at least this score
    precision: float
    recall: float
    f1: float  # 2 * precision * recall / (precision + recall)


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
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    if not f1.any():
        return Suggestion(*[float("nan")] * 4)
    best = int(f1.round(12).argmax())  # rounded, so that equal F1 compare equal; argmax takes the first
    return Suggestion(*(float(values[best]) for values in (score, precision, recall, f1)))
