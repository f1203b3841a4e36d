"""Crops with the boxes in them: training and test views for localization, and the warped regions of R-CNN.

    view = LocalizationCrop(224)(dataset[0], seed)       # view.image [224, 224, 3], view.boxes in its pixels
    view = CenterLocalizationCrop(224)(dataset[0])       # boxes / view.scale + view.offset lie in the image
    region = warped_crop(image, box, 224, context=16)    # any box, stretched to a square

The pixels are those of TrainCrop, CenterCrop and ShortSide (data/transforms.py), for the same seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from resdet.data.localization.dataset import LocalizedImage
from resdet.data.transforms import BY_AREA, ShortSide, cut_square

MEAN_COLOUR = (124, 116, 104)  # ImageNet's, RGB: what R-CNN puts outside of the image
REDRAWS = 10  # of a training crop that shows none of its image's boxes


@dataclass
class LocalizedView:
    """Pixels for a net, and the boxes that are seen in them: ``view = (pixels of the file - offset) * scale``."""

    image: np.ndarray  # uint8 [h, w, 3], RGB
    boxes: np.ndarray  # float32 [G, 4], clipped to the view
    scale: np.ndarray  # float64 [4], as (x, y, x, y); of a view before it is flipped
    offset: np.ndarray  # float64 [4], likewise, in pixels of the file


class LocalizationCrop:
    """TrainCrop's random crop and flip, with boxes.

    A crop that shows none of the boxes is drawn again, at most `REDRAWS` times; then it is given without any, and the
    loss has to skip it. An image that has no boxes is cut as it comes.

    Args:
        size, short_side: as TrainCrop's.
        min_visibility: a box stays if at least this share of its area is in the crop.
    """

    def __init__(
        self,
        size: int | dict[int, int] = 224,
        short_side: tuple[int, int] = (256, 480),
        min_visibility: float = 0.25,
    ) -> None:
        self.sizes = {0: size} if isinstance(size, int) else dict(size)
        self.short_side, self.min_visibility = short_side, min_visibility

    def __call__(self, item: LocalizedImage, seed: int, epoch: int = 0) -> LocalizedView:
        """A crop, the same for the same seed."""
        size = self.sizes[max(e for e in self.sizes if e <= epoch)]
        random = np.random.default_rng(seed)
        height, width = item.image.shape[:2]
        for _ in range(1 + REDRAWS):
            # TrainCrop's draws in its order: a seed gives both the same crop.
            side = random.integers(self.short_side[0], self.short_side[1] + 1) / 224
            window = min(height, width) / side
            x, y = random.uniform(0, width - window), random.uniform(0, height - window)
            flip = bool(random.random() < 0.5)
            corner = _whole_pixels(height, width, x, y, window)
            boxes = _boxes_in_crop(item.boxes, *corner, size, self.min_visibility)
            if len(boxes) or not len(item.boxes):
                break
        if flip:
            boxes[:, [0, 2]] = size - boxes[:, [2, 0]]
        return _view(item, cut_square(item.image, *corner, size, flip, BY_AREA), boxes, size / corner[2], corner[:2])


class CenterLocalizationCrop:
    """CenterCrop with boxes: the "1-crop" test of Table 13. Arguments as CenterCrop's and LocalizationCrop's."""

    def __init__(self, size: int = 224, short: int = 256, min_visibility: float = 0.25) -> None:
        self.size, self.short, self.min_visibility = size, short, min_visibility

    def __call__(self, item: LocalizedImage, seed: int = 0, epoch: int = 0) -> LocalizedView:
        """The crop; nothing is random here."""
        height, width = item.image.shape[:2]
        window = min(height, width) * 224 / self.short
        corner = _whole_pixels(height, width, (width - window) / 2, (height - window) / 2, window)
        boxes = _boxes_in_crop(item.boxes, *corner, self.size, self.min_visibility)
        pixels = cut_square(item.image, *corner, self.size, False, by_area=1)
        return _view(item, pixels, boxes, self.size / corner[2], corner[:2])


class WholeLocalizationImage:
    """ShortSide with boxes: the whole image, for fully convolutional tests."""

    def __init__(self, short: int) -> None:
        self.resize = ShortSide(short)

    def __call__(self, item: LocalizedImage, seed: int = 0, epoch: int = 0) -> LocalizedView:
        """The image with a short side of `short` pixels."""
        pixels = self.resize(item.image)
        scale = np.tile(np.array(pixels.shape[1::-1]) / item.image.shape[1::-1], 2)
        return _view(item, pixels, (item.boxes * scale).astype(np.float32), scale, (0, 0))


def warped_crop(image: np.ndarray, box: np.ndarray, size: int, context: float = 0) -> np.ndarray:
    """What lies under a box, stretched to [size, size, 3] whatever the box's shape (Girshick et al. 2014, App. A).

    Bilinear and exact to a fraction of a pixel, averaged along a side that shrinks much. What is outside of the image
    has the mean colour.

    Args:
        image: uint8 [H, W, 3].
        box: float [4], x1, y1, x2, y2 in pixels of `image`; a side under one pixel is taken as one.
        size: of the crop.
        context: pixels of image to be seen around the box on each side, of a 224 crop (R-CNN: 16); they follow the
            crop's size in proportion.
    """
    if not 0 <= context < 112:
        raise ValueError(f"{context} pixels of context on both sides leave nothing of a 224 crop for the box")
    x1, y1, x2, y2 = np.asarray(box, np.float64).tolist()
    wider = 224 / (224 - 2 * context)
    columns = _Axis((x1 + x2) / 2, max(x2 - x1, 1.0) * wider, image.shape[1], size)
    rows = _Axis((y1 + y2) / 2, max(y2 - y1, 1.0) * wider, image.shape[0], size)
    part = image[rows.first : rows.last, columns.first : columns.last]
    if part.shape[:2] != (rows.length, columns.length):
        part = cv2.resize(part, (columns.length, rows.length), interpolation=cv2.INTER_AREA)
    matrix = np.array([[columns.step, 0, columns.start], [0, rows.step, rows.start]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(part, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    warped[rows.outside] = MEAN_COLOUR
    warped[:, columns.outside] = MEAN_COLOUR
    return warped


class _Axis:
    """Where the pixels of a warped crop lie along one side of the image.

    first, last: the pixels of the image that are read; length: to how many they are averaged before.
    start, step: pixel j of the crop lies at start + j * step of these, pixels' centres at whole numbers.
    outside: bool [size], pixels of the crop that lie outside of the image.
    """

    def __init__(self, centre: float, length: float, limit: int, size: int) -> None:
        low, step = centre - length / 2, length / size
        at = low + (np.arange(size) + 0.5) * step
        self.outside = (at < 0) | (at > limit)
        # One pixel more at either end: interpolation near the box's border reads it.
        self.first = min(max(0, int(np.floor(low)) - 1), limit - 1)
        self.last = max(min(limit, int(np.ceil(low + length)) + 1), self.first + 1)
        read = self.last - self.first
        self.length = max(1, round(read / step)) if step > BY_AREA else read
        zoom = self.length / read
        self.start, self.step = (at[0] - self.first) * zoom - 0.5, step * zoom


def _whole_pixels(height: int, width: int, x: float, y: float, window: float) -> tuple[int, int, int]:
    """(left, top, side) of the square that `cut_square` takes for this one; given these it takes the same."""
    side = max(1, min(round(window), height, width))
    return min(max(0, round(x)), width - side), min(max(0, round(y)), height - side), side


def _boxes_in_crop(boxes: np.ndarray, left: int, top: int, side: int, size: int, min_visibility: float) -> np.ndarray:
    """The boxes that can be seen in a square of the image, in pixels of the crop, float32 [G, 4]."""
    inside = boxes.astype(np.float64) - [left, top, left, top]
    seen = inside.clip(0, side)
    enough = _area(seen) >= min_visibility * _area(inside)
    return (seen[enough & (_area(seen) > 0)] * (size / side)).astype(np.float32)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def _view(
    item: LocalizedImage, pixels: np.ndarray, boxes: np.ndarray, scale: float | np.ndarray, corner: tuple[int, int]
) -> LocalizedView:
    """`scale` and `corner` are of the decoded image, which may be smaller than the file's."""
    decoded = np.tile(np.array(item.image.shape[1::-1]) / item.size[::-1], 2)
    return LocalizedView(pixels, boxes, scale * decoded, np.tile(corner, 2) / decoded)
