"""Noise pictures with objects, for the data sets of a dry run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resdet.data.detection.annotations import Annotation

IMAGES = 6  # per data set
LANDSCAPE, PORTRAIT = (72, 96), (96, 72)  # (height, width)
NUMBERS_OF_A_SET = 10_000  # distance between the first image numbers of two sets


@dataclass
class Picture:
    """An image with G objects, which are brighter than the rest."""

    number: int
    pixels: np.ndarray  # uint8 [H, W, 3]
    boxes: np.ndarray  # int64 [G, 4], continuous
    labels: np.ndarray  # int64 [G]
    flagged: np.ndarray  # bool [G]: difficult in VOC, a crowd in COCO

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def annotation(self, image: Path, offset: int = 0) -> Annotation:
        """Make the annotation for `write_annotation`.

        Args:
            image: the image file.
            offset: added to the boxes, for formats that do not count pixels from 1 as VOC does.
        """
        return Annotation(str(image), image.stem, self.size, self.boxes + offset, self.labels, self.flagged)


class Numbers:
    """The first image number of each set: different for every set, the same if a set is written twice."""

    def __init__(self) -> None:
        self._firsts: dict[str, int] = {}

    def first(self, name: str) -> int:
        """The first number of the set `name`."""
        return self._firsts.setdefault(name, 1 + NUMBERS_OF_A_SET * len(self._firsts))


def draw_pictures(first: int, num_classes: int) -> Iterator[Picture]:
    """Draw `IMAGES` pictures, numbered from `first`.

    Every class has an object; the last picture has none; one object of the first picture is flagged.
    """
    for index in range(IMAGES):
        labels = [k for k in range(num_classes) if k % (IMAGES - 1) == index] or [index % num_classes]
        if index == IMAGES - 1:
            labels = []
        flagged = np.zeros(len(labels) + (index == 0), bool)
        if index == 0:
            labels, flagged[-1] = [*labels, labels[0]], True
        random = np.random.default_rng(first + index)
        height, width = PORTRAIT if index % 3 == 2 else LANDSCAPE
        boxes = draw_boxes(random, len(labels), height, width)
        yield Picture(
            first + index, draw_noise(random, height, width, boxes), boxes, np.array(labels, np.int64), flagged
        )


def draw_boxes(random: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """Draw boxes that hardly overlap, one in each of the first cells of a grid: int64 [count, 4]."""
    cells = max(1, math.ceil(math.sqrt(count)))
    row, column = np.divmod(np.arange(count), cells)
    cell = np.array([width // cells, height // cells])
    corner = np.stack([column, row], 1) * cell + random.integers(0, cell // 4 + 1, (count, 2))
    side = random.integers(cell // 2, cell * 3 // 4 + 1, (count, 2))
    return np.concatenate([corner, corner + side], 1)


def draw_noise(
    random: np.random.Generator, height: int, width: int, boxes: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    """Draw noise, uint8 [height, width, 3], brighter inside the boxes, int [G, 4]."""
    pixels = random.integers(0, 128, (height, width, 3)).astype(np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] += 100
    return pixels


def class_names(count: int) -> list[str]:
    """Names for the classes of a config that gives only their number; alphabetical order is the order of labels."""
    return [f"class_{k:04}" for k in range(count)]
