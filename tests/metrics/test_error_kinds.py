"""Kinds of detection errors and their cost in mAP: equal to tidecv's on random sets."""

from __future__ import annotations

import numpy as np
import pytest

from resdet.metrics.error_kinds import HIT, KINDS, MISSED, find_errors
from resdet.metrics.flat import FlatDetections, FlatTruth

tidecv = pytest.importorskip("tidecv", reason="tidecv is not installed: pip install tidecv")
SHORT = dict(zip((*KINDS, MISSED), ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), strict=True))
K = 4


def random_set(seed: int) -> tuple[FlatDetections, FlatTruth]:
    """Objects, some difficult, some images empty; detections: moved, doubled, of wrong classes, anywhere."""
    draw = np.random.default_rng(seed)
    count = int(draw.integers(5, 60))
    corner, size = draw.uniform(0, 150, (count, 2)), draw.uniform(10, 60, (count, 2))
    truth = FlatTruth(
        draw.integers(0, 6, count), draw.integers(0, K, count), np.hstack([corner, corner + size]),
        draw.random(count) < 0.15 * (seed % 2),
    )  # fmt: skip
    chosen = draw.integers(0, count, int(draw.integers(1, 4 * count)))
    box = truth.box[chosen] + draw.normal(0, 1, (len(chosen), 4)) * draw.choice([1, 8, 25], len(chosen))[:, None]
    box[:, 2:] = np.maximum(box[:, 2:], box[:, :2] + 2)
    label = np.where(draw.random(len(chosen)) < 0.3, draw.integers(0, K, len(chosen)), truth.label[chosen])
    return FlatDetections(truth.image[chosen], label, draw.random(len(chosen)), box), truth


def tide(detections: FlatDetections, truth: FlatTruth) -> tuple[float, dict[str, float], dict[str, float]]:
    """tidecv's mAP, costs of the six kinds and of false positives and negatives, in percent."""
    boxes = tidecv.Data("truth"), tidecv.Data("found")
    for data, rows in zip(boxes, (truth, detections), strict=True):
        for k in range(K):
            data.add_class(k, str(k))
        for i in np.unique(np.concatenate([truth.image, detections.image])):
            data.add_image(int(i), str(i))
        for n, (image, label, (x1, y1, x2, y2)) in enumerate(zip(rows.image, rows.label, rows.box, strict=True)):
            where = [x1, y1, x2 - x1, y2 - y1]
            if rows is detections:
                data.add_detection(int(image), int(label), float(detections.score[n]), where)
            elif truth.difficult[n]:
                data.add_ignore_region(int(image), int(label), where)
            else:
                data.add_ground_truth(int(image), int(label), where)
    judge = tidecv.TIDE()
    run = judge.evaluate(*boxes, mode=tidecv.TIDE.BOX)
    return run.ap, judge.get_main_errors()["found"], judge.get_special_errors()["found"]


@pytest.mark.parametrize("seed", range(50))
def test_costs_equal_tidecvs(seed: int) -> None:
    detections, truth = random_set(seed)
    errors = find_errors(detections, truth, K)
    ap, costs, special = tide(detections, truth)
    assert 100 * errors.mean_ap() == pytest.approx(ap, abs=1e-9)
    ours = {SHORT[name]: 100 * cost for name, cost in errors.costs().items()}
    assert ours == pytest.approx(costs, abs=1e-9)
    assert 100 * errors.cost_of_false_positives() == pytest.approx(special["FalsePos"], abs=1e-9)
    assert 100 * errors.cost_of_false_negatives() == pytest.approx(special["FalseNeg"], abs=1e-9)


def test_without_detections_every_object_is_missed() -> None:
    none = FlatDetections(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros((0, 4)))
    truth = FlatTruth(
        np.array([0, 1]), np.array([1, 2]), np.array([[0, 0, 9, 9], [5, 5, 20, 20]]), np.array([False, True])
    )
    errors = find_errors(none, truth, K)
    assert errors.counts() == {**dict.fromkeys(KINDS, 0), MISSED: 1}
    assert errors.mean_ap() == 0
    assert errors.costs()[MISSED] == 1


@pytest.mark.parametrize("seed", range(0, 10, 2))
def test_an_images_cost_is_the_gain_without_its_errors(seed: int) -> None:
    detections, truth = random_set(seed)
    errors = find_errors(detections, truth, K)
    costs = errors.costs_of_images(6)
    assert set(np.unique(np.concatenate([detections.label, truth.label]))) == set(range(K))
    for image in range(6):
        right = (detections.image != image) | (errors.kind == HIT)
        known = (truth.image != image) | errors.found
        parts = detections.image[right], detections.label[right], detections.score[right], detections.box[right]
        rest = FlatTruth(truth.image[known], truth.label[known], truth.box[known], truth.difficult[known])
        gone = set(truth.label) - set(rest.label) | (set(detections.label) - set(parts[1]) - set(rest.label))
        if not gone:  # a class that vanishes would leave the mean
            without = find_errors(FlatDetections(*parts), rest, K)
            assert costs[image] == pytest.approx(without.mean_ap() - errors.mean_ap(), abs=1e-9)
