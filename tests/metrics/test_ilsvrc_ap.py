"""ILSVRC's rule for a correct detection: small objects need less overlap, blacklisted pairs do not count."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from resdet.metrics.flat import FlatDetections, FlatTruth
from resdet.metrics.ilsvrc_ap import evaluate_ilsvrc_det, ilsvrc_thresholds
from resdet.metrics.voc_ap import evaluate_voc


def detections_of(*rows: tuple[int, int, float, tuple]) -> FlatDetections:
    image, label, score, box = zip(*rows, strict=True)
    return FlatDetections(np.array(image), np.array(label), np.array(score), np.array(box, float))


def test_a_small_object_needs_less_overlap() -> None:
    # The kit's example: 10x10 pixels inside a detection of 20x20, IoU 100 / 400, and 10 * 10 / (20 * 20) is asked.
    truth = FlatTruth(np.array([0]), np.array([0]), np.array([[5.0, 5, 15, 15]]), np.array([False]))
    assert ilsvrc_thresholds(truth.box).tolist() == [0.25]
    around = detections_of((0, 0, 0.9, (0, 0, 20, 20)))
    assert evaluate_ilsvrc_det(around, truth, 1).mean_ap == 1
    assert evaluate_voc(around, truth, 1).mean_ap == 0
    assert evaluate_ilsvrc_det(detections_of((0, 0, 0.9, (0, 0, 20, 20.1))), truth, 1).mean_ap == 0


def test_the_threshold_is_a_half_from_some_25_pixels_on() -> None:
    box = np.array([[0, 0, 24, 24], [0, 0, 25, 25], [0, 0, 500, 12], [0, 0, 500, 4]], np.float32)
    expected = [24 * 24 / (34 * 34), 0.5, 0.5, 500 * 4 / (510 * 14)]
    np.testing.assert_allclose(ilsvrc_thresholds(box), expected, rtol=1e-12)


def test_a_detection_falls_back_to_an_unmatched_object() -> None:
    box, near = (0, 0, 30, 30), (0, 0, 30, 27)
    truth = FlatTruth(np.zeros(2), np.zeros(2), np.array([box, near]), np.zeros(2, bool))
    twice = detections_of((0, 0, 0.9, box), (0, 0, 0.8, box), (0, 0, 0.7, box))
    result = evaluate_ilsvrc_det(twice, truth, 1).classes[0]
    np.testing.assert_allclose(result.recall, [0.5, 1, 1])
    np.testing.assert_allclose(evaluate_voc(twice, truth, 1).classes[0].recall, [0.5, 0.5, 0.5])


def test_the_best_overlap_counts_only_where_it_is_enough() -> None:
    # IoU .36 with the large truth is more than the .3 with the small one, but only the small one is content with it.
    large, small, detection = (0, 0, 100, 10), (0, 0, 36, 3), (0, 0, 36, 10)
    truth = FlatTruth(np.zeros(2), np.zeros(2), np.array([large, small]), np.zeros(2, bool))
    assert ilsvrc_thresholds(truth.box).round(3).tolist() == [0.455, 0.181]
    result = evaluate_ilsvrc_det(detections_of((0, 0, 0.9, detection), (0, 0, 0.8, large)), truth, 1)
    assert result.mean_ap == 1


def test_a_blacklisted_pair_counts_neither_as_truth_nor_as_false_positive() -> None:
    box, far = (0, 0, 30, 30), (50, 50, 90, 90)
    truth = FlatTruth(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([box, box, box]), np.zeros(3, bool))
    detections = detections_of((0, 0, 0.9, far), (1, 0, 0.8, box), (1, 1, 0.7, box), (0, 1, 0.6, box))
    result = evaluate_ilsvrc_det(detections, truth, 2, excluded=np.array([[0, 0]]))
    assert [r.ap for r in result.classes] == [1, 1]
    assert result.classes[0].num_truth == 1
    assert evaluate_ilsvrc_det(detections, truth, 2).classes[0].ap == 0.25


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_result_equals_a_literal_loop_of_the_devkit(seed: int) -> None:
    random = np.random.default_rng(seed)
    num_classes, images = 3, 4
    truth_box = _pixel_boxes(random, int(random.integers(0, 25)))
    truth_image = random.integers(0, images, len(truth_box))
    truth_label = random.integers(0, num_classes, len(truth_box))
    box = _pixel_boxes(random, int(random.integers(0, 80)))
    image = np.sort(random.integers(0, images, len(box)))
    label = random.integers(0, num_classes, len(box))
    score = random.integers(0, 10, len(box)) / 10  # coarse: ties are frequent
    excluded, last_pixel = np.array([[0, 0], [2, 1]]), np.array([0, 0, 1, 1])
    result = evaluate_ilsvrc_det(
        FlatDetections(image, label, score, box + last_pixel),
        FlatTruth(truth_image, truth_label, truth_box + last_pixel, np.zeros(len(truth_box), bool)),
        num_classes,
        excluded,
    )
    found = [(int(i), int(k), float(s), b.tolist()) for i, k, s, b in zip(image, label, score, box, strict=True)]
    truth = [(int(i), int(k), b.tolist()) for i, k, b in zip(truth_image, truth_label, truth_box, strict=True)]
    expected = [_kit_ap(found, truth, k, {(0, 0), (2, 1)}) for k in range(num_classes)]
    np.testing.assert_allclose([r.ap for r in result.classes], expected, atol=1e-12)


def _pixel_boxes(random: np.random.Generator, count: int) -> np.ndarray:
    """0-based inclusive integer boxes, so small that thresholds differ and overlaps are frequent."""
    corner = random.integers(0, 10, (count, 2))
    return np.concatenate([corner, corner + random.integers(0, 14, (count, 2))], axis=1)


def _kit_ap(found: list, truth: list, label: int, excluded: set) -> float:
    """AP of one class by the rules of eval_detection.m, with plain loops on inclusive pixels."""
    objects = [(i, b) for i, k, b in truth if k == label and (i, k) not in excluded]
    if not objects:
        return math.nan
    detected: set[int] = set()
    hits: list[bool] = []
    for image, k, _, box in sorted(found, key=lambda row: -row[2]):
        if k != label or (image, k) in excluded:
            continue
        best, chosen = -math.inf, None
        for j, (where, other) in enumerate(objects):
            if where != image or j in detected:
                continue
            overlap, (width, height) = _pixel_iou(box, other), _pixel_sides(other)
            enough = min(0.5, width * height / ((width + 10) * (height + 10)))
            if overlap >= enough and overlap > best:
                best, chosen = overlap, j
        hits.append(chosen is not None)
        if chosen is not None:
            detected.add(chosen)
    precision = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
    return sum(max(precision[n:]) for n, hit in enumerate(hits) if hit) / len(objects)


def _pixel_sides(box: list[int]) -> tuple[int, int]:
    return box[2] - box[0] + 1, box[3] - box[1] + 1


def _pixel_iou(a: list[int], b: list[int]) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1 for i in (0, 1))
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (math.prod(_pixel_sides(a)) + math.prod(_pixel_sides(b)) - width * height)
