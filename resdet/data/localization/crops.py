"""Crops with the boxes visible in them, for localization, and the warped regions of R-CNN.

    crop = TrainCropWithBoxes(224)(dataset[0], seed)     # crop.image [224, 224, 3], crop.boxes in its pixels
    crop = CenterCropWithBoxes(224)(dataset[0])          # boxes / crop.scale + crop.offset are in image pixels
    region = warped_crop(image, box, 224, context=16)    # any box, stretched to a square

For equal seeds the pixels equal those of TrainCrop, CenterCrop and ShortSide (data/transforms.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from resdet.data.localization.dataset import LocalizedImage
from resdet.data.transforms import (
    BY_AREA,
    ShortSide,
    check_short_side,
    check_visibility,
    crop_sizes,
    cut_square,
)

MEAN_COLOUR = (124, 116, 104)  # ImageNet's mean in RGB; R-CNN fills what lies outside the image with it
REDRAWS = 10  # attempts to replace a training crop that shows none of its image's boxes


@dataclass
class CropWithBoxes:
    """A resized crop, or whole image, and its boxes: ``crop pixels = (file pixels - offset) * scale``."""

    image: np.ndarray  # uint8 [h, w, 3], RGB
    boxes: np.ndarray  # float32 [G, 4], in crop pixels, clipped to the crop
    scale: np.ndarray  # float64 [4], as (x, y, x, y); valid before a flip
    offset: np.ndarray  # float64 [4], as (x, y, x, y), in pixels of the file; valid before a flip


class TrainCropWithBoxes:
    """TrainCrop (data/transforms.py), a random crop and flip, with boxes.

    A crop without a visible box is drawn again, at most `REDRAWS` times; if none is found, the last one is returned
    without boxes, and the loss has to skip it. An image without boxes is cropped once.

    Args:
        size: side of the crop in pixels; a dict such as ``{0: 64, 10: 112}`` gives the side from that epoch on.
        short_side: range of the image's short side in pixels, for a crop of 224; scaled in proportion for other sizes.
        min_visibility: a box is kept if at least this fraction of its area lies in the crop.

    Raises:
        UserError: a size below 1, a short side below 224, or `min_visibility` outside of 0..1.
    """

    def __init__(
        self,
        size: int | dict[int, int] = 224,
        short_side: tuple[int, int] = (256, 480),
        min_visibility: float = 0.25,
    ) -> None:
        check_visibility(min_visibility)
        self.sizes, self.short_side = crop_sizes(size), check_short_side(short_side)
        self.min_visibility = min_visibility

    def __call__(self, item: LocalizedImage, seed: int, epoch: int = 0) -> CropWithBoxes:
        """Draw a crop; the same for the same seed and size."""
        size = self.sizes[max(e for e in self.sizes if e <= epoch)]
        random = np.random.default_rng(seed)
        height, width = item.image.shape[:2]
        for _ in range(1 + REDRAWS):
            # The same draws in the same order as TrainCrop, so that both give the same crop for a seed.
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
        return _mapped(item, cut_square(item.image, *corner, size, flip, BY_AREA), boxes, size / corner[2], corner[:2])


class CenterCropWithBoxes:
    """CenterCrop (data/transforms.py) with boxes: the "1-crop" test of Table 13.

    Args:
        size: side of the crop in pixels.
        short: short side of the image in pixels, for a crop of 224; scaled in proportion for other sizes.
        min_visibility: a box is kept if at least this fraction of its area lies in the crop.

    Raises:
        UserError: a size below 1, a short side below 224, or `min_visibility` outside of 0..1.
    """

    def __init__(self, size: int = 224, short: int = 256, min_visibility: float = 0.25) -> None:
        check_visibility(min_visibility)
        self.size, (self.short, _) = crop_sizes(size)[0], check_short_side((short, short))
        self.min_visibility = min_visibility

    def __call__(self, item: LocalizedImage, seed: int = 0, epoch: int = 0) -> CropWithBoxes:
        """Cut the centre crop; seed and epoch are ignored."""
        height, width = item.image.shape[:2]
        window = min(height, width) * 224 / self.short
        corner = _whole_pixels(height, width, (width - window) / 2, (height - window) / 2, window)
        boxes = _boxes_in_crop(item.boxes, *corner, self.size, self.min_visibility)
        pixels = cut_square(item.image, *corner, self.size, False, by_area=1)
        return _mapped(item, pixels, boxes, self.size / corner[2], corner[:2])


class ShortSideWithBoxes:
    """ShortSide (data/transforms.py) with boxes: the whole resized image, for the dense test.

    Args:
        short: short side of the resized image in pixels.
    """

    def __init__(self, short: int) -> None:
        self.resize = ShortSide(short)

    def __call__(self, item: LocalizedImage, seed: int = 0, epoch: int = 0) -> CropWithBoxes:
        """Resize the image; seed and epoch are ignored."""
        pixels = self.resize(item.image)
        scale = np.tile(np.array(pixels.shape[1::-1]) / item.image.shape[1::-1], 2)
        return _mapped(item, pixels, (item.boxes * scale).astype(np.float32), scale, (0, 0))


def warped_crop(image: np.ndarray, box: np.ndarray, size: int, context: float = 0) -> np.ndarray:
    """Stretch the region under a box to a square whatever the box's shape (R-CNN, Girshick et al. 2014, App. A).

    Bilinear with subpixel positions; a side that shrinks by more than `BY_AREA` is averaged first. What lies outside
    the image has the mean colour.

    Args:
        image: uint8 [H, W, 3].
        box: float [4], x1, y1, x2, y2 in pixels of `image`; a side below one pixel counts as one pixel.
        size: side of the crop in pixels.
        context: pixels around the box on each side, in a crop of 224 (R-CNN: 16); scaled in proportion for other sizes.

    Returns:
        uint8 [size, size, 3].

    Raises:
        ValueError: `context` is not in 0..112.
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
    warped: np.ndarray = cv2.warpAffine(part, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    warped[rows.outside] = MEAN_COLOUR
    warped[:, columns.outside] = MEAN_COLOUR
    return warped


class _Axis:
    """How the pixels of a warped crop map to one axis of the image.

    Attributes:
        first, last: range of image pixels that are read, `last` excluded.
        length: number of pixels that this range is averaged down to before the warp.
        start, step: crop pixel j lies at start + j * step in the averaged range, pixel centres at whole numbers.
        outside: bool [size], crop pixels that lie outside the image.

    Args:
        centre, length: of the region with its context, in image pixels.
        limit: side of the image in pixels.
        size: side of the crop in pixels.
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
    """(left, top, side) of the square that `cut_square` cuts for this window, and again for these numbers."""
    side = max(1, min(round(window), height, width))
    return min(max(0, round(x)), width - side), min(max(0, round(y)), height - side), side


def _boxes_in_crop(boxes: np.ndarray, left: int, top: int, side: int, size: int, min_visibility: float) -> np.ndarray:
    """Boxes visible in a square of the image, in pixels of the crop, float32 [G, 4]."""
    inside = boxes.astype(np.float64) - [left, top, left, top]
    seen = inside.clip(0, side)
    enough = _area(seen) >= min_visibility * _area(inside)
    visible: np.ndarray = seen[enough & (_area(seen) > 0)] * (size / side)
    return visible.astype(np.float32)


def _area(boxes: np.ndarray) -> np.ndarray:
    areas: np.ndarray = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return areas


def _mapped(
    item: LocalizedImage, pixels: np.ndarray, boxes: np.ndarray, scale: float | np.ndarray, corner: tuple[int, int]
) -> CropWithBoxes:
    """Make the result; `scale` and `corner` refer to the decoded image, which may be smaller than the file's."""
    decoded = np.tile(np.array(item.image.shape[1::-1]) / item.size[::-1], 2)
    return CropWithBoxes(pixels, boxes, scale * decoded, np.tile(corner, 2) / decoded)
