"""Resizing, augmentation and crops: what happens to pixels and boxes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from albumentations import Crop, HorizontalFlip

from helpers.samples import sample_of
from resdet.data.localization.crops import CenterCropWithBoxes, TrainCropWithBoxes
from resdet.data.transforms import CenterCrop, DetectionAugmentation, Resizer, TrainCrop, build_augmentation
from resdet.errors import UserError

# Resizing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ((375, 500), (600, 800)),  # VOC's usual landscape: the short side decides
        ((500, 375), (800, 600)),
        ((500, 334), (898, 600)),
        ((500, 250), (1000, 500)),  # 2:1, the long side decides
        ((300, 500), (600, 1000)),  # both at once
        ((1200, 2000), (600, 1000)),
        ((600, 600), (600, 600)),
        ((10, 5000), (2, 1000)),
    ],
)
def test_short_side_600_long_side_at_most_1000(size: tuple[int, int], resized: tuple[int, int]) -> None:
    assert Resizer(600, 1000).size(*size) == resized


def test_resizing_keeps_dtype_and_constant_images() -> None:
    for height, width in ((40, 50), (300, 200), (24, 120)):
        image = np.full((height, width, 3), (10, 200, 77), np.uint8)
        resizer = Resizer(60, 100)
        out = resizer(image)
        assert out.shape[:2] == resizer.size(height, width)
        assert out.dtype == np.uint8
        assert (out == (10, 200, 77)).all()


def test_an_image_of_the_right_size_is_unchanged() -> None:
    image = sample_of(60, 80, []).image.numpy()
    assert Resizer(60, 100)(image) is image
    assert Resizer(120, None).size(60, 300) == (120, 600)


# Augmentation ---------------------------------------------------------------------------------------------------------


def test_a_flip_mirrors_pixels_and_boxes() -> None:
    sample = sample_of(40, 60, [[0, 0, 60, 40], [5.5, 3.25, 20, 11], [59, 0, 60, 1]])
    flipped = DetectionAugmentation([HorizontalFlip(p=1.0)])(sample, seed=7)
    assert torch.equal(flipped.image, sample.image.flip(1))
    expected = torch.tensor([[0, 0, 60, 40], [40, 3.25, 54.5, 11], [0, 0, 1, 1]])
    torch.testing.assert_close(flipped.boxes, expected, rtol=0, atol=1e-4)
    assert flipped.labels.tolist() == [0, 1, 2]
    assert (flipped.boxes.dtype, flipped.image_id) == (torch.float32, sample.image_id)


def test_the_seed_alone_decides_about_the_flip() -> None:
    sample = sample_of(20, 30, [[2, 2, 10, 10]])
    one, other = (DetectionAugmentation([HorizontalFlip(p=0.5)]) for _ in range(2))
    first = [one(sample, seed) for seed in range(40)]
    np.random.seed(1)
    again = [other(sample, seed) for seed in reversed(range(40))][::-1]  # another object, order and global state
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.boxes, b.boxes)
    flipped = sum(not torch.equal(s.image, sample.image) for s in first)
    assert 8 <= flipped <= 32


def test_labels_and_flags_follow_their_boxes_when_some_are_dropped() -> None:
    boxes = [[0, 0, 10, 10], [30, 0, 40, 10], [5, 20, 25, 30], [19, 30, 40, 40]]
    sample = sample_of(40, 40, boxes, difficult=[False, False, True, True], crowd=[True, False, True, False])
    left = DetectionAugmentation([Crop(0, 0, 20, 40)], min_visibility=0.1)(sample, seed=0)
    assert left.image.shape == (40, 20, 3)
    assert left.labels.tolist() == [0, 2]  # 1 is outside, of 3 a twentieth is left
    assert left.difficult.tolist() == [False, True]
    assert left.crowd.tolist() == [True, True]
    torch.testing.assert_close(left.boxes, torch.tensor([[0.0, 0, 10, 10], [5, 20, 20, 30]]))


def test_boxes_slightly_outside_and_images_without_objects_are_accepted() -> None:
    augment = DetectionAugmentation([HorizontalFlip(p=1.0)])
    out = augment(sample_of(40, 60, [[-0.5, 0, 30, 40.01]]), seed=0)
    torch.testing.assert_close(out.boxes, torch.tensor([[30.0, 0, 60, 40]]))
    empty = augment(sample_of(40, 60, []), seed=0)
    assert (empty.boxes.shape, empty.labels.shape, empty.crowd.shape) == ((0, 4), (0,), (0,))


def test_an_empty_list_of_transforms_is_no_augmentation() -> None:
    assert build_augmentation([]) is None


# Crops of classification ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 60), (300, 200), (64, 64), (500, 37)])
def test_crops_have_their_size_and_a_constant_image_stays_constant(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), (9, 90, 250), np.uint8)
    views: list[Callable[..., np.ndarray]] = [TrainCrop(size=48), CenterCrop(size=48), CenterCrop(size=48, short=224)]
    for view in views:
        for seed in range(5):
            out = view(image, seed, 0)
            assert out.shape == (48, 48, 3)
            assert (out == (9, 90, 250)).all()


def test_a_training_crop_is_a_function_of_its_seed() -> None:
    image = sample_of(70, 90, []).image.numpy()
    crop = TrainCrop(size=32)
    assert all(np.array_equal(crop(image, s, 0), TrainCrop(size=32)(image, s, 0)) for s in range(5))
    assert len({crop(image, s, 0).tobytes() for s in range(20)}) == 20


def test_the_crop_size_follows_the_epoch() -> None:
    crop = TrainCrop(size={0: 32, 3: 48, 10: 64})
    image = sample_of(70, 90, []).image.numpy()
    assert [len(crop(image, 0, epoch)) for epoch in (0, 2, 3, 9, 10, 99)] == [32, 32, 48, 48, 64, 64]


def test_the_centre_crop_of_the_short_side_is_the_middle_of_the_image() -> None:
    image = sample_of(224, 320, []).image.numpy()
    assert np.array_equal(CenterCrop(size=224, short=224)(image), image[:, 48:272])
    image = sample_of(256, 256, []).image.numpy()
    assert np.array_equal(CenterCrop(size=224, short=256)(image), image[16:240, 16:240])


def test_training_crops_flip_half_of_the_time_and_mirror_exactly() -> None:
    ramp = np.repeat(np.arange(0, 240, dtype=np.uint8)[None, :, None], 240, 0).repeat(3, 2)
    crops = [TrainCrop(size=24, short_side=(256, 256))(ramp, seed, 0)[0, :, 0].astype(int) for seed in range(60)]
    falling = [c for c in crops if c[0] > c[-1]]
    assert 15 <= len(falling) <= 45
    assert all((np.diff(c) < 0).all() if c[0] > c[-1] else (np.diff(c) > 0).all() for c in crops)


def test_training_crops_lie_inside_the_image_and_have_the_papers_scales() -> None:
    ramp = np.repeat(np.arange(0, 240, dtype=np.float32)[None, :, None], 240, 0).repeat(3, 2).astype(np.uint8)
    widths = []
    for seed in range(200):
        row = TrainCrop(size=24)(ramp, seed, 0)[0, :, 0].astype(int)
        widths.append((abs(row[-1] - row[0])) * 24 / 23)
    # short side 256..480 for a 224 crop: the crop covers 224/480 .. 224/256 of the short side
    assert min(widths) == pytest.approx(240 * 224 / 480, abs=4)
    assert max(widths) == pytest.approx(240 * 224 / 256, abs=4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TrainCrop(112, (128, 160)),
        lambda: TrainCrop(224, (480, 256)),
        lambda: TrainCrop(0),
        lambda: TrainCrop({5: 224}),
        lambda: TrainCrop({}),
        lambda: CenterCrop(112, 128),
        lambda: CenterCrop(0),
        lambda: TrainCropWithBoxes(112, (128, 160)),
        lambda: TrainCropWithBoxes(112, min_visibility=2),
        lambda: CenterCropWithBoxes(112, 128),
        lambda: Resizer(0),
        lambda: Resizer(600, 0),
        lambda: DetectionAugmentation([], min_visibility=-1),
    ],
)
def test_impossible_crops_are_refused_when_they_are_made(make: Callable[[], object]) -> None:
    with pytest.raises(UserError):
        make()
