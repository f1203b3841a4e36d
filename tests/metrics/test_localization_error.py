"""The localization error equals that of ILSVRC's devkit: cases worked by hand, and a literal loop."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resdet.data.localization.dataset import LocalizationDataset
from resdet.metrics.localization_error import (
    NO_GUESS,
    Guesses,
    LocalizationTruth,
    best_overlaps,
    correct_guesses,
    error_by_share,
    localization_error,
    object_shares,
)
from resdet.metrics.pairs import paired_difference

Box = tuple[float, float, float, float]
LAST_PIXEL = np.array([0, 0, 1, 1])  # what readers add to the files' inclusive numbers
WHOLE: Box = (0, 0, 10, 10)


def guesses_of(*images: list[tuple[int, Box]]) -> Guesses:
    labels, boxes = np.full((len(images), 5), NO_GUESS), np.zeros((len(images), 5, 4))
    for i, image in enumerate(images):
        for j, (label, box) in enumerate(image):
            labels[i, j], boxes[i, j] = label, box
    return Guesses(labels, boxes)


def truth_of(*images: tuple[int, list[Box]]) -> LocalizationTruth:
    boxes = np.array([box for _, own in images for box in own], float).reshape(-1, 4)
    return LocalizationTruth(
        np.array([i[0] for i in images]), boxes, np.repeat(range(len(images)), [len(i[1]) for i in images])
    )


def test_an_iou_of_exactly_a_half_is_correct() -> None:
    truth = truth_of((3, [WHOLE]), (3, [WHOLE]))
    result = localization_error(guesses_of([(3, (0, 0, 10, 5))], [(3, (0, 0, 10, 4.99))]), truth)
    assert result.wrong.tolist() == [False, True]
    assert result.localization == 50


def test_inclusive_pixels_of_the_devkit_give_the_same_result_as_continuous_boxes() -> None:
    # Inclusive 0..9 and 0..4 are 10 and 5 pixels: IoU .5. Without the kit's +1 it would be 9 x 4 of 9 x 9, .444.
    truth = truth_of((0, [np.array([0, 0, 9, 9]) + LAST_PIXEL]))
    assert not localization_error(guesses_of([(0, np.array([0, 0, 9, 4]) + LAST_PIXEL)]), truth).wrong[0]
    # A line of one pixel has an area, and is found by itself.
    line = np.array([7, 2, 7, 8]) + LAST_PIXEL
    assert not localization_error(guesses_of([(0, line)]), truth_of((0, [line]))).wrong[0]


def test_any_of_several_objects_counts() -> None:
    truth = truth_of((1, [(50, 50, 60, 60), WHOLE, (80, 80, 90, 90)]), (1, [(50, 50, 60, 60)]))
    result = localization_error(guesses_of([(1, WHOLE)], [(1, WHOLE)]), truth)
    assert result.wrong.tolist() == [False, True]


def test_the_right_box_with_the_wrong_class_is_wrong() -> None:
    result = localization_error(guesses_of([(2, WHOLE)]), truth_of((1, [WHOLE])))
    assert (result.localization, result.top5, result.top1) == (100, 100, 100)


def test_class_and_box_must_belong_to_one_guess() -> None:
    elsewhere = (50, 50, 60, 60)
    result = localization_error(guesses_of([(1, elsewhere), (2, WHOLE)]), truth_of((1, [WHOLE])))
    assert (result.localization, result.top5) == (100, 0)


def test_any_of_five_guesses_counts_and_top_1_is_the_first() -> None:
    guesses = guesses_of([(9, WHOLE), (8, WHOLE), (7, WHOLE), (6, WHOLE), (1, WHOLE)], [(1, WHOLE), (2, WHOLE)])
    result = localization_error(guesses, truth_of((1, [WHOLE]), (1, [WHOLE])))
    assert (result.localization, result.localization_top1, result.top5, result.top1) == (0, 50, 0, 50)


def test_fewer_than_five_guesses_are_allowed() -> None:
    # A box at the place of a guess that was not made is no guess.
    labels, boxes = np.array([[NO_GUESS] * 5, [4, *[NO_GUESS] * 4]]), np.tile(WHOLE, (2, 5, 1))
    result = localization_error(Guesses(labels, boxes), truth_of((0, [WHOLE]), (4, [WHOLE])))
    assert result.wrong.tolist() == result.class_wrong.tolist() == [True, False]
    one_each = Guesses(np.array([[0], [5]]), np.tile(WHOLE, (2, 1, 1)))
    assert correct_guesses(one_each, truth_of((0, [WHOLE]), (4, [WHOLE]))).tolist() == [[True], [False]]


def test_excluded_images_count_only_for_classification() -> None:
    truth = truth_of((0, [WHOLE]), (1, [WHOLE]), (2, [WHOLE]))
    guesses = guesses_of([(0, WHOLE)], [(5, WHOLE)], [(2, (50, 50, 60, 60))])
    result = localization_error(guesses, truth, excluded=np.array([False, True, False]))
    assert (result.localization, result.localization_top1) == (50, 50)
    assert result.top5 == pytest.approx(100 / 3)
    assert result.counted.tolist() == [True, False, True]


def test_an_image_without_a_true_box_is_wrong() -> None:
    result = localization_error(guesses_of([(1, WHOLE)], [(1, WHOLE)]), truth_of((1, []), (1, [WHOLE])))
    assert (result.wrong.tolist(), result.top5) == ([True, False], 0)


def test_the_whole_image_is_wrong_where_the_largest_object_covers_less_than_half() -> None:
    truth = truth_of(
        (0, [(0, 0, 2, 3)]),  # 6 of 100 pixels, under 1/16
        (0, [(0, 0, 4, 4), (5, 5, 6, 6)]),
        (0, [(0, 0, 5, 5)]),  # 1/4 exactly
        (0, [(0, 0, 1, 1), (0, 0, 10, 5)]),  # 1/2 exactly
        (0, [WHOLE]),
        (0, []),
    )
    shares = object_shares(truth, np.full((6, 2), 10))
    assert shares[:5].tolist() == [0.06, 0.16, 0.25, 0.5, 1]
    assert math.isnan(shares[5])
    found = localization_error(guesses_of(*[[(0, WHOLE)]] * 6), truth)
    assert error_by_share(found.wrong, shares).tolist() == [100, 100, 100, 0]
    assert np.isnan(error_by_share(found.wrong[:2], shares[:2])[2:]).all()


def test_inverted_and_distant_boxes_are_never_correct() -> None:
    guesses = guesses_of([(1, (10, 10, 0, 0)), (1, (10, 0, 20, 10)), (1, (3, 3, 3, 3))])
    assert localization_error(guesses, truth_of((1, [WHOLE]))).localization == 100


def test_two_localizers_are_compared_image_by_image() -> None:
    truth = truth_of(*[(1, [WHOLE])] * 4)
    first = localization_error(guesses_of(*[[(1, (0, 0, 10, 4))]] * 4), truth)
    second = localization_error(guesses_of(*[[(1, WHOLE)]] * 2, *[[(2, WHOLE)]] * 2), truth)
    mean, deviation = paired_difference(first.wrong, second.wrong)
    assert mean == -0.5
    assert deviation == pytest.approx(math.sqrt(1 / 12))


def test_arrays_of_wrong_shapes_are_refused() -> None:
    truth, guesses = truth_of((1, [WHOLE])), guesses_of([(1, WHOLE)])
    with pytest.raises(ValueError, match="guesses for 1 images, but the truth of 2"):
        localization_error(guesses, truth_of((1, [WHOLE]), (1, [WHOLE])))
    with pytest.raises(ValueError, match="not one flag for each of 1 images"):
        localization_error(guesses, truth, np.array([0, 1]))
    with pytest.raises(ValueError, match="no images"):
        localization_error(guesses, truth, np.array([True]))
    with pytest.raises(ValueError, match=r"\[N, 1..5\], not \[1, 6\]"):
        Guesses(np.zeros((1, 6)), np.zeros((1, 6, 4)))
    with pytest.raises(ValueError, match="boxes of the same shape"):
        Guesses(np.zeros((2, 5)), np.zeros((1, 5, 4)))
    with pytest.raises(ValueError, match="without gaps"):
        Guesses(np.array([[NO_GUESS, 1]]), np.zeros((1, 2, 4)))
    with pytest.raises(ValueError, match="not finite"):
        guesses_of([(1, (0, 0, math.nan, 1))])
    with pytest.raises(ValueError, match=r"an image outside 0..0"):
        LocalizationTruth(np.zeros(1), np.zeros((1, 4)), np.array([1]))


def test_a_full_validation_set_is_scored_within_seconds() -> None:
    random, images = np.random.default_rng(0), 50_000
    corner = random.uniform(0, 100, (images, 6, 2))
    boxes = np.concatenate([corner, corner + random.uniform(1, 100, corner.shape)], -1)
    labels = random.integers(0, 3, (images, 6))
    guesses = Guesses(labels[:, :5], boxes[:, :5])
    truth = LocalizationTruth(labels[:, 5], boxes[:, 5], np.arange(images))
    start = time.process_time()
    result = localization_error(guesses, truth)
    assert time.process_time() - start < 1
    assert 50 < result.localization < 100


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_result_equals_a_literal_loop_of_the_devkit(seed: int) -> None:
    random, images = np.random.default_rng(seed), 8
    box, image = _pixel_boxes(random, (12,)), random.integers(0, images, 12)
    label = random.integers(0, 3, images)
    made = random.integers(0, 6, images)
    labels = np.where(np.arange(5) < made[:, None], random.integers(0, 3, (images, 5)), NO_GUESS)
    guessed = _pixel_boxes(random, (images, 5))
    excluded = np.append(False, random.random(images - 1) < 0.3)
    truth = LocalizationTruth(label, box + LAST_PIXEL, image)
    result = localization_error(Guesses(labels, guessed + LAST_PIXEL), truth, excluded)

    errors = []
    for i in range(images):
        best = 1
        for j in range(made[i]):
            for k in np.flatnonzero(image == i):
                differs = labels[i, j] != label[i]
                best = min(best, int(differs or _pixel_iou(guessed[i, j].tolist(), box[k].tolist()) < 0.5))
        errors.append(best)
    assert result.wrong.astype(int).tolist() == errors
    counted = [error for error, out in zip(errors, excluded, strict=True) if not out]
    assert result.localization == pytest.approx(100 * sum(counted) / len(counted))
    absent = [int(label[i]) not in labels[i, : made[i]].tolist() for i in range(images)]
    assert result.top5 == pytest.approx(100 * sum(absent) / images)


def _pixel_boxes(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """0-based inclusive integer boxes, so small that IoUs of exactly 0.5 and 1 are frequent."""
    corner = random.integers(0, 4, (*shape, 2))
    return np.concatenate([corner, corner + random.integers(0, 5, corner.shape)], -1)


def _pixel_iou(a: list[int], b: list[int]) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1 for i in (0, 1))
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def test_best_overlaps_are_of_each_guess_with_its_best_box(loc_images: Path) -> None:
    truth = LocalizationDataset(loc_images, "val").truth()
    order = np.argsort(truth.image)
    boxes = truth.boxes[order]
    shifted = boxes + np.array([0, 0, 0, 1]) * (boxes[:, 3:] - boxes[:, 1:2])  # twice as high
    guesses = Guesses(np.tile([0, 1, -1], (7, 1)), np.stack([boxes, shifted, boxes], 1))
    np.testing.assert_allclose(best_overlaps(guesses, truth), np.tile([1, 0.5, 0], (7, 1)))
