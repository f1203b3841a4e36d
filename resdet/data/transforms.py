"""From a decoded image to network input, uint8 in and out: augmentation by albumentations, resizing, crops.

    resizer = Resizer(short=600, long=1000)
    pixels = resizer(image)                              # uint8 [H, W, 3]
    augment = DetectionAugmentation([A.HorizontalFlip(p=0.5)])
    sample = augment(sample, seed)                       # a function of the seed, not of a global state

Resizing leaves boxes in the pixels of the image before resizing: structures.Batch has both sizes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch

from resdet.errors import UserError
from resdet.ranges import Count
from resdet.structures import Sample

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it checks for updates over the network when imported
import albumentations as A


@dataclass(frozen=True)
class Resizer:
    """Resizes the short side to `short` pixels, less if the long side would exceed `long` (Fast R-CNN: 600, 1000).

    Args:
        short: in pixels.
        long: in pixels; None: no limit.
    """

    short: Count = 600
    long: Count | None = 1000

    def __post_init__(self) -> None:
        if self.short < 1 or (self.long is not None and self.long < 1):
            raise UserError(f"Resizer(short={self.short}, long={self.long}): sides are pixels, each 1 or more")

    def at(self, short: int) -> Resizer:
        """A resizer for another short side, with `long` scaled in proportion (1000 x short / 600).

        With a fixed limit, wide photographs would have the same size at all large scales.
        """
        return Resizer(short, None if self.long is None else round(self.long * short / self.short))

    def factor(self, height: int, width: int) -> float:
        """Scale factor for an image of this size."""
        factor = self.short / min(height, width)
        if self.long is not None:
            factor = min(factor, self.long / max(height, width))
        return factor

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) after resizing, in whole pixels."""
        factor = self.factor(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Resize uint8 [H, W, 3]; bilinear, but by area averaging where it shrinks to less than half."""
        height, width = image.shape[:2]
        h, w = self.size(height, width)
        if (h, w) == (height, width):
            return image
        method = cv2.INTER_AREA if h < height / 2 else cv2.INTER_LINEAR
        resized: np.ndarray = cv2.resize(image, (w, h), interpolation=method)
        return resized


# Crops that shrink by more than this factor are resized by area averaging: bilinear interpolation reads only 2x2
# pixels, and thin lines would alias.
BY_AREA = 1.5
WHOLE = 224  # pixels: the side of the crop that short sides are given for
DENSE_SCALES = (224, 256, 384, 480, 640)  # short sides in pixels of the dense test, for such a crop (Sect. 3.4)


class DetectionAugmentation:
    """Applies albumentations transforms to an image and its boxes; boxes are clipped, and dropped if outside.

    Args:
        transforms: such as ``[A.HorizontalFlip(p=0.5)]``, the only one in the paper.
        min_visibility: fraction of a box's area that must stay inside the image.

    Raises:
        UserError: `min_visibility` is not in 0..1.
    """

    def __init__(self, transforms: Sequence[A.BasicTransform], min_visibility: float = 0.1) -> None:
        check_visibility(min_visibility)
        boxes = A.BboxParams(
            format="pascal_voc",
            label_fields=["slots"],
            clip=True,
            filter_invalid_bboxes=True,
            min_visibility=min_visibility,
        )
        self.compose = A.Compose(list(transforms), bbox_params=boxes)

    def __call__(self, sample: Sample, seed: int) -> Sample:
        """Return the augmented sample; the same for the same seed."""
        self.compose.set_random_seed(seed % 2**32)
        slots = np.arange(len(sample.boxes))
        out = self.compose(image=sample.image.numpy(), bboxes=sample.boxes.numpy(), slots=slots)
        kept = torch.as_tensor(np.asarray(out["slots"], dtype=np.int64))
        boxes = np.asarray(out["bboxes"], dtype=np.float32).reshape(-1, 4)
        return replace(
            sample,
            image=torch.from_numpy(np.ascontiguousarray(out["image"])),
            boxes=torch.from_numpy(boxes),
            labels=sample.labels[kept],
            difficult=sample.difficult[kept],
            crowd=sample.crowd[kept],
        )


class TrainCrop:
    """ImageNet's training crop (Sect. 3.4): the short side is drawn from a range, then a random crop and flip.

    Args:
        size: side of the crop in pixels; a dict such as ``{0: 64, 10: 112}`` gives the side from that epoch on. Small
            crops at the start save time; the paper has one size.
        short_side: range of the image's short side in pixels, for a crop of 224; scaled in proportion for other sizes.

    Raises:
        UserError: no size for epoch 0, or a short side below 224, which is smaller than the crop.
    """

    def __init__(self, size: Count | dict[int, Count] = 224, short_side: tuple[Count, Count] = (256, 480)) -> None:
        self.sizes = crop_sizes(size)
        self.short_side = check_short_side(short_side)

    def __call__(self, image: np.ndarray, seed: int, epoch: int = 0) -> np.ndarray:
        """Cut and resize uint8 [H, W, 3] to [S, S, 3]; the crop is cut from the source and resized once."""
        size = self.sizes[max(e for e in self.sizes if e <= epoch)]
        random = np.random.default_rng(seed)
        height, width = image.shape[:2]
        side = random.integers(self.short_side[0], self.short_side[1] + 1) / 224  # in units of the crop's side
        window = min(height, width) / side  # the crop's side in pixels of the source
        x, y = random.uniform(0, width - window), random.uniform(0, height - window)
        flip = random.random() < 0.5
        return cut_square(image, x, y, window, size, bool(flip))


class CenterCrop:
    """The centre crop of the 1-crop test.

    Args:
        size: side of the crop in pixels.
        short: short side of the image in pixels, for a crop of 224; scaled in proportion for other sizes.

    Raises:
        UserError: a size below 1, or a short side below 224, which is smaller than the crop.
    """

    def __init__(self, size: Count = 224, short: Count = 256) -> None:
        self.size, (self.short, _) = crop_sizes(size)[0], check_short_side((short, short))

    def __call__(self, image: np.ndarray, seed: int = 0, epoch: int = 0) -> np.ndarray:
        """Cut and resize uint8 [H, W, 3] to [size, size, 3]; seed and epoch are ignored."""
        height, width = image.shape[:2]
        window = min(height, width) * 224 / self.short
        return cut_square(image, (width - window) / 2, (height - window) / 2, window, self.size, False, by_area=1)


class ShortSide:
    """The whole image resized to a short side of `short` pixels, for the 10-crop and the fully convolutional test."""

    def __init__(self, short: int) -> None:
        self.resizer = Resizer(short, None)

    def __call__(self, image: np.ndarray, seed: int = 0, epoch: int = 0) -> np.ndarray:
        """Resize uint8 [H, W, 3] to [h, w, 3]; seed and epoch are ignored."""
        return self.resizer(image)


def crop_sizes(size: int | dict[int, int]) -> dict[int, int]:
    """The side of a training crop by the epoch from which it counts.

    Args:
        size: one side in pixels, or sides by epoch.

    Raises:
        UserError: there is none for epoch 0, or one is below 1.
    """
    sizes = dict(size) if isinstance(size, dict) else {0: size}
    if 0 not in sizes or min(sizes) < 0 or min(sizes.values()) < 1:
        raise UserError(f"size is {size}: give the side of the crop in pixels, or {{0: side, epoch: side, ...}}")
    return sizes


def check_short_side(short_side: tuple[int, int]) -> tuple[int, int]:
    """Check a range of short sides, which are given for a crop of 224 whatever the crop's own size.

    Raises:
        UserError: it is not a range, or begins below 224: such an image is smaller than the crop.
    """
    low, high = short_side
    if not WHOLE <= low <= high:
        raise UserError(
            f"short sides {low}..{high} are given for a crop of {WHOLE} pixels and scaled with the crop's size: the "
            f"lower one is at least {WHOLE}, the upper one not below it; the paper: 256..480 in training, 256 at test"
        )
    return low, high


def check_visibility(fraction: float) -> None:
    """Refuse a fraction of a box's area that is not in 0..1.

    Raises:
        UserError: it is not.
    """
    if not 0 <= fraction <= 1:
        raise UserError(f"min_visibility is {fraction}: give a fraction of a box's area, 0..1")


def cut_square(
    image: np.ndarray, x: float, y: float, window: float, size: int, flip: bool, by_area: float = BY_AREA
) -> np.ndarray:
    """Cut a square out of an image and resize it.

    It is cut before it is resized, so that the rest of the image costs nothing.

    Args:
        image: uint8 [H, W, 3].
        x, y: left and top of the square in pixels; rounded and moved inside the image.
        window: side of the square in pixels; rounded, at most the image's short side.
        size: side of the result in pixels.
        flip: mirror the result horizontally.
        by_area: above this factor of reduction, resize by area averaging instead of bilinearly.

    Returns:
        uint8 [size, size, 3].
    """
    height, width = image.shape[:2]
    side = max(1, min(round(window), height, width))
    left, top = min(max(0, round(x)), width - side), min(max(0, round(y)), height - side)
    part = image[top : top + side, left : left + side]
    if side != size:
        method = cv2.INTER_AREA if side > by_area * size else cv2.INTER_LINEAR
        part = cv2.resize(part, (size, size), interpolation=method)
    return cv2.flip(part, 1) if flip else np.ascontiguousarray(part)


def build_augmentation(transforms: Sequence[Any]) -> DetectionAugmentation | None:
    """Make the augmentation of a config's `data.augment`; None for an empty list."""
    return DetectionAugmentation(transforms) if transforms else None
