"""Repeat factors as LVIS defines them, and datasets resampled by them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from resdet.data.detection.annotations import Annotation, AnnotationTable, DetectionDataset
from resdet.data.detection.resampling import Repeated, repeat_factors
from resdet.data.sampling import TrainSampler
from resdet.errors import UserError


def table_of(labels: list[list[int]], path: str = "x.png") -> AnnotationTable:
    boxes = [[0.0, 0, 30, 20]]
    return AnnotationTable(
        [Annotation(path, f"p{i}", (40, 60), np.array(boxes * len(own)), np.array(own)) for i, own in enumerate(labels)]
    )


def test_the_factor_is_the_root_of_threshold_over_frequency() -> None:
    factors = repeat_factors(table_of([[1, 0], *[[0]] * 9999]), threshold=0.001)
    assert factors[0] == pytest.approx(np.sqrt(10))  # f = .0001
    assert (factors[1:] == 1).all()


def test_an_image_has_the_factor_of_its_rarest_class_and_counts_once_for_each() -> None:
    table = table_of([[0, 1, 1, 1], [0], [0], [], [0], [0], [0], [], [2], [2, 0]])
    # of 10 images class 0 is in 7, class 1 in 1, class 2 in 2
    factors = repeat_factors(table, threshold=0.4)
    np.testing.assert_allclose(factors, [2, 1, 1, 1, 1, 1, 1, 1, 2**0.5, 2**0.5])


def test_no_image_is_seen_less_than_once() -> None:
    table = table_of([[0], [0, 1], [], [1]])
    assert (repeat_factors(table, 0) == 1).all()
    assert (repeat_factors(table, 0.5) == 1).all()
    assert repeat_factors(table, 1).tolist() == [2**0.5, 2**0.5, 1, 2**0.5]
    assert repeat_factors(table_of([[], []]), 0.5).tolist() == [1, 1]
    assert repeat_factors(table_of([]), 0.5).tolist() == []


def test_images_occur_as_often_as_their_factor_says() -> None:
    dataset = DetectionDataset(("common", "rare"), table_of([[0]] * 992 + [[0, 1]] * 8))
    factors = repeat_factors(dataset.table, 0.1)  # sqrt(.1 / .008) = 3.54
    counts = []
    for seed in range(40):
        copies = Repeated(dataset, 0.1, seed)
        times = np.bincount([int(i.partition("#")[0][1:]) for i in copies.table.ids], minlength=1000)
        assert (times[:992] == 1).all()
        assert set(times[992:]) <= {3, 4}
        counts.append(times[992:].mean())
    assert np.mean(counts) == pytest.approx(factors[-1], abs=0.1)
    assert len(set(counts)) > 5  # the seed decides on the fractions


def test_the_set_is_a_function_of_its_seed() -> None:
    dataset = DetectionDataset(("a", "b"), table_of([[0]] * 50 + [[1]] * 5))
    first, again = (Repeated(dataset, 0.5, seed=2).table.ids.tolist() for _ in range(2))
    assert first == again
    assert len(first) > 55
    assert len(dataset) == 55


def test_copies_have_their_own_ids_and_draws(tmp_path: Path) -> None:
    """Ids stay unique, and the sampler gives each copy its own draw."""
    path = str(tmp_path / "x.png")
    cv2.imwrite(path, np.zeros((40, 60, 3), np.uint8))
    copies = Repeated(DetectionDataset(("a", "b"), table_of([[0], [1, 0], [0], [0]], path)), threshold=1)
    assert copies.table.ids.tolist() == ["p0", "p1", "p1#2", "p2", "p3"]  # sqrt(1 / .25) = 2
    assert copies[2].labels.tolist() == [1, 0]
    assert copies[2].boxes.tolist() == [[0, 0, 30, 20]] * 2
    assert copies[2].image_id == "p1#2"
    assert copies.classes == ("a", "b")
    draws = [draw for step in islice(TrainSampler(len(copies), 1, seed=0), 5) for draw in step]
    assert len({draw.seed for draw in draws}) == 5


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(UserError, match="a fraction of the images"):
        Repeated(DetectionDataset(("a",), table_of([[0]])), threshold)
