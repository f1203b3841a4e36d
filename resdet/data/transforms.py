"""From a decoded image to the pixels a net sees: augmentation (albumentations, uint8 in and out) and ONE resizer.

    resizer = Resizer(short=600, long=1000)
    pixels = resizer(image)                              # uint8 [H, W, 3]
    augment = DetectionAugmentation([A.HorizontalFlip(p=0.5)])
    sample = augment(sample, seed)                       # the seed decides, not a global state

Boxes stay in the image's own pixels when it is resized: structures.Batch knows both sizes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch

from resdet.structures import Sample

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for updates when imported
import albumentations as A


@dataclass(frozen=True)
class Resizer:
    """Short side to `short` pixels unless the long side would pass `long` (Fast R-CNN: 600 and 1000)."""

    short: int = 600
    long: int | None = 1000

    def at(self, short: int) -> Resizer:
        """The same for another short side; the long side's limit scales along (1000 x short / 600), or wide photographs
        would have one size at all large scales."""
        return Resizer(short, None if self.long is None else round(self.long * short / self.short))

    def factor(self, height: int, width: int) -> float:
        """How much an image of this size is enlarged."""
        factor = self.short / min(height, width)
        if self.long is not None:
            factor = min(factor, self.long / max(height, width))
        return factor

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) after resizing, whole pixels."""
        factor = self.factor(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> the resized image; bilinear, but by area where it shrinks to less than half."""
        height, width = image.shape[:2]
        h, w = self.size(height, width)
        if (h, w) == (height, width):
            return image
        return cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if h < height / 2 else cv2.INTER_LINEAR)


# Training crops that shrink by more are averaged: bilinear interpolation reads 2x2 pixels, thin lines would alias.
BY_AREA = 1.5


class DetectionAugmentation:
    """Any albumentations transforms on an image and its boxes; boxes that leave the picture are dropped.

    Args:
        transforms: such as ``[A.HorizontalFlip(p=0.5)]``, the paper's only one.
        min_visibility: the share of a box's area that must stay inside.
    """

    def __init__(self, transforms: Sequence[A.BasicTransform], min_visibility: float = 0.1) -> None:
        boxes = A.BboxParams(
            format="pascal_voc",
            label_fields=["slots"],
            clip=True,
            filter_invalid_bboxes=True,
            min_visibility=min_visibility,
        )
        self.compose = A.Compose(list(transforms), bbox_params=boxes)

    def __call__(self, sample: Sample, seed: int) -> Sample:
        """The augmented sample; the same for the same seed."""
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
    """ImageNet's training view (Sect. 3.4): short side drawn from a range, a random crop, a random flip.

    Args:
        size: of the crop; a dict such as ``{0: 64, 10: 112}`` gives the size from that epoch on (small crops first
            cost a fraction of the time; the paper has one size).
        short_side: the range of the short side for a 224 crop; it follows the crop's size in proportion.
    """

    def __init__(self, size: int | dict[int, int] = 224, short_side: tuple[int, int] = (256, 480)) -> None:
        self.sizes = {0: size} if isinstance(size, int) else dict(size)
        self.short_side = short_side

    def __call__(self, image: np.ndarray, seed: int, epoch: int = 0) -> np.ndarray:
        """uint8 [H, W, 3] -> [S, S, 3]. The crop is cut from the source and resized once."""
        size = self.sizes[max(e for e in self.sizes if e <= epoch)]
        random = np.random.default_rng(seed)
        height, width = image.shape[:2]
        side = random.integers(self.short_side[0], self.short_side[1] + 1) / 224  # in crops
        window = min(height, width) / side  # the crop's side in pixels of the source
        x, y = random.uniform(0, width - window), random.uniform(0, height - window)
        flip = random.random() < 0.5
        return cut_square(image, x, y, window, size, bool(flip))


class CenterCrop:
    """The test view: short side to `short` for a 224 crop (256), the centre crop."""

    def __init__(self, size: int = 224, short: int = 256) -> None:
        self.size, self.short = size, short

    def __call__(self, image: np.ndarray, seed: int = 0, epoch: int = 0) -> np.ndarray:
        """uint8 [H, W, 3] -> [size, size, 3]; nothing is random here."""
        height, width = image.shape[:2]
        window = min(height, width) * 224 / self.short
        return cut_square(image, (width - window) / 2, (height - window) / 2, window, self.size, False, by_area=1)


class ShortSide:
    """The whole image, its short side resized to `short` pixels: for ten crops and fully convolutional tests."""

    def __init__(self, short: int) -> None:
        self.resizer = Resizer(short, None)

    def __call__(self, image: np.ndarray, seed: int = 0, epoch: int = 0) -> np.ndarray:
        """uint8 [H, W, 3] -> [h, w, 3]."""
        return self.resizer(image)


def cut_square(
    image: np.ndarray, x: float, y: float, window: float, size: int, flip: bool, by_area: float = BY_AREA
) -> np.ndarray:
    """The square [x, x + window] x [y, y + window] of an image, to whole pixels of the source, as [size, size].

    It is cut before it is resized: what lies outside costs nothing.
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
    """None for an empty list, which leaves samples as they are."""
    return DetectionAugmentation(transforms) if transforms else None
