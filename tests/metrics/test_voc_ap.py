"""VOC average precision: cases worked by hand, the devkit's rules, and its literal loop on random data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resdet.metrics import FlatDetections, FlatTruth, average_precision, evaluate_voc, mean_ap_range

BOX = (0.0, 0.0, 10.0, 10.0)
FAR = (50.0, 50.0, 60.0, 60.0)


def _detections(*rows: tuple[int, int, float, tuple]) -> FlatDetections:
    image, label, score, box = zip(*rows, strict=True) if rows else ((), (), (), ())
    return FlatDetections(np.array(image), np.array(label), np.array(score, float), np.array(box, float))


def _truth(*rows: tuple[int, int, tuple, bool]) -> FlatTruth:
    image, label, box, difficult = zip(*rows, strict=True) if rows else ((), (), (), ())
    return FlatTruth(np.array(image), np.array(label), np.array(box, float), np.array(difficult))


def _ap(detections: FlatDetections, truth: FlatTruth, **options: object) -> float:
    return evaluate_voc(detections, truth, 1, **options).classes[0].ap  # type: ignore[arg-type]


def test_ap_of_a_hand_worked_curve() -> None:
    # hits at ranks 1, 3, 4 of five truths: precision 1, 1/2, 2/3, 3/4; the envelope is 1 at recall .2, 3/4 up to .6.
    recall, precision = np.array([1, 1, 2, 3]) / 5, np.array([1, 1 / 2, 2 / 3, 3 / 4])
    assert average_precision(recall, precision, "area") == pytest.approx(0.2 * 1 + 0.4 * 0.75)
    assert average_precision(recall, precision, "11-point") == pytest.approx((3 * 1 + 4 * 0.75) / 11)


def test_11_points_reach_a_recall_of_exactly_three_tenths() -> None:
    assert average_precision(np.array([0.1, 0.2, 3 / 10]), np.ones(3), "11-point") == pytest.approx(4 / 11)


def test_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="12-point"):
        average_precision(np.ones(1), np.ones(1), "12-point")  # type: ignore[arg-type]


def test_an_iou_of_exactly_the_threshold_is_a_true_positive() -> None:
    half = (0.0, 0.0, 10.0, 5.0)
    assert _ap(_detections((0, 0, 0.9, half)), _truth((0, 0, BOX, False))) == 1
    assert _ap(_detections((0, 0, 0.9, half)), _truth((0, 0, BOX, False)), iou=0.5001) == 0


def test_continuous_boxes_give_the_devkits_plus_one_pixel() -> None:
    # As 1-based inclusive pixels: truth 1..3 x 1..4 (12 pixels), detection 1..3 x 1..2 (6 pixels): IoU 1/2 with the
    # devkit's + 1, but (2 * 1) / (2 * 3) = 1/3 without it.
    truth = np.array([[1, 1, 3, 4]]) - [1, 1, 0, 0]
    detection = np.array([[1, 1, 3, 2]]) - [1, 1, 0, 0]
    assert _ap(_detections((0, 0, 1.0, tuple(detection[0]))), _truth((0, 0, tuple(truth[0]), False))) == 1


def test_a_second_detection_of_an_object_is_a_false_positive() -> None:
    truth = _truth((0, 0, BOX, False), (0, 0, FAR, False))
    result = evaluate_voc(_detections((0, 0, 0.9, BOX), (0, 0, 0.8, BOX), (0, 0, 0.7, FAR)), truth, 1).classes[0]
    np.testing.assert_allclose(result.recall, [0.5, 0.5, 1])
    np.testing.assert_allclose(result.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(result.score, [0.9, 0.8, 0.7])


def test_a_detection_does_not_fall_back_to_its_second_best_truth() -> None:
    near = (0.0, 0.0, 10.0, 9.0)
    truth = _truth((0, 0, BOX, False), (0, 0, near, False))
    result = evaluate_voc(_detections((0, 0, 0.9, BOX), (0, 0, 0.8, BOX)), truth, 1).classes[0]
    np.testing.assert_allclose(result.recall, [0.5, 0.5])


def test_detections_on_difficult_objects_do_not_count() -> None:
    truth = _truth((0, 0, BOX, True), (0, 0, FAR, False))
    result = evaluate_voc(_detections((0, 0, 0.9, BOX), (0, 0, 0.8, BOX), (0, 0, 0.7, FAR)), truth, 1).classes[0]
    assert result.ap == 1
    assert result.num_truth == 1
    np.testing.assert_allclose(result.precision, [1])


def test_equal_scores_keep_their_order() -> None:
    truth = _truth((0, 0, BOX, False))
    assert _ap(_detections((0, 0, 0.5, BOX), (0, 0, 0.5, FAR)), truth) == 1
    assert _ap(_detections((0, 0, 0.5, FAR), (0, 0, 0.5, BOX)), truth) == 0.5


def test_images_and_classes_do_not_mix() -> None:
    truth = _truth((0, 0, BOX, False), (1, 1, BOX, False))
    result = evaluate_voc(_detections((1, 0, 0.9, BOX), (0, 1, 0.9, BOX)), truth, 2)
    assert result.mean_ap == 0


def test_a_class_without_truth_is_left_out_of_the_mean() -> None:
    truth = _truth((0, 0, BOX, False), (0, 2, BOX, True))
    result = evaluate_voc(_detections((0, 0, 0.9, BOX), (0, 1, 0.9, BOX), (0, 2, 0.9, BOX)), truth, 3)
    assert result.mean_ap == 1
    assert [math.isnan(c.ap) for c in result.classes] == [False, True, True]


def test_no_detections_at_all_is_ap_zero() -> None:
    result = evaluate_voc(_detections(), _truth((0, 0, BOX, False)), 2)
    assert (result.mean_ap, result.classes[0].ap) == (0, 0)


def test_no_truth_at_all_is_nan() -> None:
    assert math.isnan(evaluate_voc(_detections((0, 0, 0.5, BOX)), _truth(), 1).mean_ap)
    assert math.isnan(evaluate_voc(_detections(), _truth(), 0).mean_ap)


def test_sizes_ignore_objects_and_misses_of_other_sizes() -> None:
    large = (0.0, 0.0, 100.0, 100.0)
    truth = _truth((0, 0, BOX, False), (1, 0, large, False))
    # The best-scored detection is a large miss: it must not hurt the small objects' AP, only the large ones'.
    detections = _detections((2, 0, 0.9, large), (0, 0, 0.8, BOX), (1, 0, 0.7, large))
    result = evaluate_voc(detections, truth, 1)
    assert result.by_size["small"] == 1
    assert result.by_size["large"] == 0.5
    assert math.isnan(result.by_size["medium"])


def test_the_mean_over_thresholds_equals_the_mean_of_single_evaluations() -> None:
    detections, truth = _detections((0, 0, 0.9, (0.0, 0.0, 10.0, 7.2))), _truth((0, 0, BOX, False))
    assert mean_ap_range(detections, truth, 1) == pytest.approx(0.5)  # IoU .72: a hit at .50, .55, .60, .65 and .70


@pytest.mark.parametrize(
    ("detections", "message"),
    [
        (((0, 5, 0.5, BOX),), "labels"),
        (((0, 0, math.nan, BOX),), "finite"),
        (((0, 0, 0.5, (0, 0, math.inf, 1)),), "finite"),
    ],
)
def test_bad_input_is_refused(detections: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_voc(_detections(*detections), _truth((0, 0, BOX, False)), 5)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="lengths"):
        FlatDetections(np.zeros(2), np.zeros(2), np.zeros(1), np.zeros((2, 4)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.5, 0.75]))
def test_the_result_equals_a_literal_loop_of_the_devkit(seed: int, iou: float) -> None:
    rng = np.random.default_rng(seed)
    num_classes, images = 3, 4
    truth_box, box = _pixel_boxes(rng, int(rng.integers(0, 20))), _pixel_boxes(rng, int(rng.integers(0, 60)))
    truth = FlatTruth(
        rng.integers(0, images, len(truth_box)),
        rng.integers(0, num_classes, len(truth_box)),
        truth_box - [1, 1, 0, 0],
        rng.random(len(truth_box)) < 0.2,
    )
    detections = FlatDetections(
        rng.integers(0, images, len(box)),
        rng.integers(0, num_classes, len(box)),
        rng.integers(0, 10, len(box)) / 10,  # coarse: ties are frequent
        box - [1, 1, 0, 0],
    )
    for method in ("area", "11-point"):
        result = evaluate_voc(detections, truth, num_classes, iou, method)  # type: ignore[arg-type]
        for label in range(num_classes):
            expected = _devkit_ap(detections, box, truth, truth_box, label, iou, method)
            np.testing.assert_allclose(result.classes[label].ap, expected, atol=1e-12)


def _pixel_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """1-based inclusive integer boxes, so small that overlaps and IoUs of exactly 0.5 are frequent."""
    corner = rng.integers(1, 8, (count, 2))
    return np.concatenate([corner, corner + rng.integers(0, 8, (count, 2))], axis=1)


def _devkit_ap(
    detections: FlatDetections,
    box: np.ndarray,
    truth: FlatTruth,
    truth_box: np.ndarray,
    label: int,
    iou: float,
    method: str,
) -> float:
    """AP by VOCevaldet.m, line by line, on 1-based inclusive pixels."""
    npos = int(np.sum((truth.label == label) & ~truth.difficult))
    if npos == 0:
        return math.nan
    rows = np.flatnonzero(detections.label == label)
    rows = rows[np.argsort(-detections.score[rows], kind="stable")]
    detected, tp, fp = set(), [], []
    for d in rows:
        ovmax, jmax = -math.inf, -1
        for j in np.flatnonzero((truth.image == detections.image[d]) & (truth.label == label)):
            bb, bbgt = box[d], truth_box[j]
            iw = min(bb[2], bbgt[2]) - max(bb[0], bbgt[0]) + 1
            ih = min(bb[3], bbgt[3]) - max(bb[1], bbgt[1]) + 1
            if iw <= 0 or ih <= 0:
                continue
            ua = (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1) + (bbgt[2] - bbgt[0] + 1) * (bbgt[3] - bbgt[1] + 1) - iw * ih
            if iw * ih / ua > ovmax:
                ovmax, jmax = iw * ih / ua, j
        hit = ovmax >= iou and not truth.difficult[jmax] and jmax not in detected
        miss = not hit and not (ovmax >= iou and truth.difficult[jmax])
        if hit:
            detected.add(jmax)
        tp.append(hit)
        fp.append(miss)
    tp, fp = np.cumsum(tp), np.cumsum(fp)
    rec, prec = tp / npos, tp / np.maximum(tp + fp, 1)
    if method == "11-point":
        return float(np.mean([max(prec[rec >= k / 10], default=0.0) for k in range(11)]))
    mrec, mpre = np.r_[0, rec, 1], np.r_[0, prec, 0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    i = np.flatnonzero(mrec[1:] != mrec[:-1])
    return float(np.sum((mrec[i + 1] - mrec[i]) * mpre[i + 1]))
