"""The score threshold of the best F1: worked by hand, against all thresholds, with ties."""

from __future__ import annotations

import numpy as np
import pytest

from resdet.metrics.flat import FlatDetections, FlatTruth
from resdet.metrics.precision_recall import ClassResult
from resdet.metrics.thresholds import Suggestion, at_scores, suggest_thresholds
from resdet.metrics.voc_ap import evaluate_voc


def curve(hits: list[int], scores: list[float], num_truth: int) -> ClassResult:
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    return ClassResult(0.5, found / num_truth, precision, np.array(scores), num_truth)


def suggest(hits: list[int], scores: list[float], num_truth: int) -> Suggestion:
    return suggest_thresholds([curve(hits, scores, num_truth)])[0]


def test_a_threshold_keeps_the_detections_with_at_least_its_score() -> None:
    hit_error_hit_hit = curve([1, 0, 1, 1], [0.9, 0.8, 0.8, 0.35], num_truth=5)
    precision, recall, f1 = at_scores(hit_error_hit_hit, [0.91, 0.9, 0.8, 0.3])
    assert np.isnan(precision[0])
    assert precision[1:].tolist() == [1, 2 / 3, 0.75]  # both with a score of .8
    assert recall.tolist() == [0, 0.2, 0.4, 0.6]
    assert f1.tolist() == pytest.approx([0, 2 * 0.2 / 1.2, 2 * (2 / 3) * 0.4 / (2 / 3 + 0.4), 2 * 0.75 * 0.6 / 1.35])
    best = suggest_thresholds([hit_error_hit_hit])[0]
    assert at_scores(hit_error_hit_hit, np.arange(101) / 100)[2].max() == pytest.approx(best.f1)


def test_the_best_threshold_equals_the_one_found_by_hand() -> None:
    best = suggest([1, 1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], num_truth=4)
    # F1 = 2 hits / (detections + truths): 2/5, 4/6, 4/7, 6/8, 6/9, 6/10
    assert best == Suggestion(score=0.6, precision=0.75, recall=0.75, f1=0.75)


def test_of_equal_f1_the_highest_score_wins() -> None:
    # 2 * 1 / (1 + 3) = 2 * 2 / (5 + 3) = .5; the second is a hair larger in floating point if it is not rounded
    assert suggest([1, 0, 0, 0, 1], [0.9, 0.8, 0.7, 0.6, 0.5], num_truth=3).score == 0.9
    for truths in range(2, 60):
        # one hit at once, and two hits after as many detections as give the same F1
        count = truths + 2
        hits = [1, *[0] * (count - 2), 1]
        assert suggest(hits, list(np.linspace(0.9, 0.1, count)), truths).score == 0.9


def test_equal_scores_are_taken_together() -> None:
    assert suggest([1, 0, 0], [0.5, 0.5, 0.5], num_truth=1) == Suggestion(0.5, pytest.approx(1 / 3), 1.0, 0.5)
    best = suggest([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.5], num_truth=2)
    assert best == Suggestion(0.9, 1.0, 0.5, pytest.approx(2 / 3))  # 2/3 twice: two more would cost two misses


def test_no_other_threshold_has_a_higher_f1() -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        count = int(random.integers(1, 40))
        scores = np.sort(random.integers(0, 15, count) / 15)[::-1]
        hits = random.random(count) < scores
        truths = int(hits.sum() + random.integers(1, 5))
        tried = {t: 2 * hits[scores >= t].sum() / ((scores >= t).sum() + truths) for t in np.unique(scores)}
        best = suggest(hits.astype(int).tolist(), scores.tolist(), truths)
        if not hits.any():
            continue
        assert best.f1 == pytest.approx(max(tried.values()))
        assert best.score == max(t for t, f1 in tried.items() if f1 > best.f1 - 1e-9)
        kept = hits[scores >= best.score]
        assert (best.precision, best.recall) == pytest.approx((kept.mean(), kept.sum() / truths))


def test_classes_without_truth_or_detections_have_no_threshold() -> None:
    box = np.array([[0.0, 0, 10, 10]])
    truth = FlatTruth(np.array([0, 0]), np.array([0, 2]), box.repeat(2, 0), np.zeros(2, bool))
    detections = FlatDetections(np.array([0, 0]), np.array([0, 1]), np.array([0.7, 0.9], np.float32), box.repeat(2, 0))
    found, no_truth, no_detection = suggest_thresholds(evaluate_voc(detections, truth, 3).classes)
    assert found == Suggestion(pytest.approx(0.7), 1.0, 1.0, 1.0)
    for missing in (no_truth, no_detection):
        assert np.isnan([missing.score, missing.precision, missing.recall, missing.f1]).all()


def test_no_threshold_is_suggested_for_a_class_without_true_positives() -> None:
    assert all(np.isnan(v) for v in vars(suggest([0, 0], [0.9, 0.8], num_truth=3)).values())
