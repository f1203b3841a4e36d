"""Crops for localization transform boxes and pixels alike."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from resdet.data.localization.crops import (
    MEAN_COLOUR,
    CenterCropWithBoxes,
    ShortSideWithBoxes,
    TrainCropWithBoxes,
    warped_crop,
)
from resdet.data.localization.dataset import LocalizedImage
from resdet.data.transforms import CenterCrop, ShortSide, TrainCrop

# Crops of images ------------------------------------------------------------------------------------------------------


def photo(boxes: list[list[float]], width: int = 90, height: int = 60) -> LocalizedImage:
    """A black image with white boxes."""
    image = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[round(y1) : round(y2), round(x1) : round(x2)] = 255
    return LocalizedImage(image, 0, np.array(boxes, np.float32).reshape(-1, 4), (height, width))


def white_part(image: np.ndarray) -> list[float]:
    rows, columns = (np.flatnonzero((image[..., 0] > 127).any(axis)) for axis in (1, 0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize("seed", range(12))
def test_boxes_go_with_the_pixels_of_traincrop(seed: int) -> None:
    item = photo([[25, 15, 65, 45]])
    short_side = (256, 300)  # every crop shows the box
    view = TrainCropWithBoxes(56, short_side)(item, seed)
    np.testing.assert_allclose(view.boxes, [white_part(view.image)], atol=1)
    np.testing.assert_array_equal(view.image, TrainCrop(56, short_side)(item.image, seed))
    np.testing.assert_array_equal(view.image, TrainCropWithBoxes(56, short_side)(item, seed).image)


def test_the_center_crop_maps_back_to_the_image() -> None:
    item = photo([[30, 20, 60, 40], [0, 0, 90, 60], [0, 0, 12, 60]])
    view = CenterCropWithBoxes(112)(item)
    np.testing.assert_array_equal(view.image, CenterCrop(112)(item.image))
    # The crop is 52 x 52 at (19, 4): the second box is cut, the third is not in it.
    np.testing.assert_allclose(view.boxes / view.scale + view.offset, [[30, 20, 60, 40], [19, 4, 71, 56]], atol=1e-4)
    assert len(CenterCropWithBoxes(112, min_visibility=0.6)(item).boxes) == 1


def test_the_map_leads_to_the_files_pixels_where_the_image_was_decoded_smaller() -> None:
    small = photo([[15, 10, 30, 20]], width=45, height=30)._replace(size=(60, 90))
    for view in (CenterCropWithBoxes(112)(small), ShortSideWithBoxes(50)(small)):
        np.testing.assert_allclose(view.boxes / view.scale + view.offset, [[30, 20, 60, 40]], atol=1e-4)


def test_the_whole_image_has_the_pixels_of_shortside() -> None:
    item = photo([[30, 20, 60, 40]], width=91)
    view = ShortSideWithBoxes(128)(item)
    np.testing.assert_array_equal(view.image, ShortSide(128)(item.image))
    np.testing.assert_allclose(view.boxes, [[30 * 194 / 91, 20 * 128 / 60, 60 * 194 / 91, 40 * 128 / 60]], rtol=1e-6)


def test_a_crop_without_a_box_is_drawn_again() -> None:
    corner, short_side = photo([[0, 0, 16, 16]]), (448, 448)  # crops of 30 x 30 pixels of 90 x 60
    views = [TrainCropWithBoxes(56, short_side)(corner, seed) for seed in range(60)]
    alone = [TrainCropWithBoxes(56, short_side)(corner._replace(boxes=corner.boxes[:0]), seed) for seed in range(60)]
    shown = [len(view.boxes) > 0 for view in views]
    first = [np.array_equal(v.offset, a.offset) for v, a in zip(views, alone, strict=True)]
    assert sum(first) < 15  # few first draws show the corner: some 3 in 100
    assert sum(shown) > 15
    for view in (view for view in views if len(view.boxes)):
        np.testing.assert_allclose(view.boxes, [white_part(view.image)], atol=2)
    # A box that no crop can show enough of is given up.
    hidden = TrainCropWithBoxes(56, short_side, min_visibility=0.9)(photo([[0, 0, 90, 60]]), seed=0)
    assert hidden.boxes.shape == (0, 4)


def test_crops_can_grow_with_the_epochs() -> None:
    view = TrainCropWithBoxes({0: 32, 2: 64})
    assert [view(photo([[30, 20, 60, 40]]), 0, epoch).image.shape[0] for epoch in (0, 1, 2)] == [32, 32, 64]


# Warped regions -------------------------------------------------------------------------------------------------------


def test_a_region_is_stretched_to_a_square() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (60, 90, 3)).astype(np.uint8)
    np.testing.assert_array_equal(warped_crop(image, np.array([20.0, 10, 52, 42]), 32), image[10:42, 20:52])
    wide = warped_crop(image, np.array([10.0, 20, 42, 28]), 32)
    expected = cv2.resize(image, None, fx=1, fy=4, interpolation=cv2.INTER_LINEAR)[80:112, 10:42]
    np.testing.assert_allclose(wide.astype(int), expected.astype(int), atol=8)  # warpAffine's 32nds of a pixel
    smooth = cv2.GaussianBlur(cv2.resize(image, (900, 600)), (0, 0), 9)
    half = warped_crop(smooth, np.array([100.0, 50, 800, 550]), 50)
    expected = cv2.resize(smooth[50:550, 100:800], (50, 50), interpolation=cv2.INTER_AREA)
    assert np.abs(half.astype(int) - expected).mean() < 1.5


def test_outside_the_image_is_the_mean_colour() -> None:
    image = np.full((40, 40, 3), 255, np.uint8)
    region = warped_crop(image, np.array([-20.0, 10, 20, 50]), 32)
    assert (region[:24, 16:] == 255).all()
    assert (region[:, :16] == MEAN_COLOUR).all()
    assert (region[24:] == MEAN_COLOUR).all()
    assert (warped_crop(image, np.array([90.0, 90, 99, 99]), 32) == MEAN_COLOUR).all()
    assert (warped_crop(image, np.array([0.0, 0, 40, 40]), 32) == 255).all()


def test_context_is_16_pixels_of_a_224_crop() -> None:
    item = photo([[30, 20, 60, 40]])
    tight, wide = (warped_crop(item.image, item.boxes[0], 224, context) for context in (0, 16))
    assert white_part(tight) == [0, 0, 224, 224]
    np.testing.assert_allclose(white_part(wide), [16, 16, 208, 208], atol=1)
    np.testing.assert_allclose(white_part(warped_crop(item.image, item.boxes[0], 112, 16)), [8, 8, 104, 104], atol=1)
    with pytest.raises(ValueError, match="nothing of a 224 crop"):
        warped_crop(item.image, item.boxes[0], 224, 112)


def test_any_box_gives_a_region() -> None:
    image = np.zeros((7, 5, 3), np.uint8)
    for box in ([2, 2, 2, 2], [4.9, 0, 5, 7], [-1e4, -1e4, 1e4, 1e4], [3, 5, 2, 1], [5, 7, 5, 7]):
        assert warped_crop(image, np.array(box, float), 16, 4).shape == (16, 16, 3)
