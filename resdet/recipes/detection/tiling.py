"""Detect in large images tile by tile, so that small objects keep their pixels.

detector = Tiled(load_detector("runs/mine/last.pth"), Tiling(side=800, overlap=0.2))
detections = detector("scene.tif")

The image as a whole is looked at too, for objects larger than a tile. An object at a border is found whole in one tile
and cut in its neighbour: of two boxes of a class of which the smaller lies to more than half in the other, the one with
the higher score stays (how it compares with NMS: results/predict_tiles.json).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from resdet.boxes.geometry import pairwise_coverage
from resdet.engine.typed import check_values
from resdet.errors import UserError
from resdet.ranges import Count, Overlap
from resdet.recipes.detection.detector import Detector
from resdet.recipes.detection.pixels import Pixels, Readable, to_pixels
from resdet.recipes.detection.result import ImageDetections

COVERAGE = 0.5  # share of the smaller of two boxes inside the other above which they are one object
SMALLEST = 64  # pixels, of a tile's side


@dataclass(frozen=True)
class Tiling:
    """How an image is cut.

    Args:
        side: of a tile in pixels, at least 64; an image that is not larger is not cut.
        overlap: share of a tile that it has in common with its neighbour; objects up to this size are whole in one.

    Raises:
        UserError: a value is out of range.
    """

    side: Count
    overlap: Overlap = 0.2

    def __post_init__(self) -> None:
        check_values(Tiling, vars(self))
        if self.side < SMALLEST:
            why = "smaller tiles show hardly an object whole, and an image has thousands of them"
            raise UserError(f"a tile's side of {self.side} (--tile): give at least {SMALLEST} pixels; {why}")

    def windows(self, height: int, width: int) -> Iterator[tuple[int, int]]:
        """The upper left corner (y, x) of each tile; the last ones end at the image's borders."""
        for y in self._starts(height):
            for x in self._starts(width):
                yield y, x

    def _starts(self, length: int) -> list[int]:
        rest = max(0, length - self.side)
        steps = ceil(rest / max(1.0, self.side * (1 - self.overlap)))
        return [round(i * rest / max(1, steps)) for i in range(steps + 1)]


class Tiled:
    """A detector that looks at tiles of large images. Called like the detector, with one image.

    Args:
        detector: is called with the tiles.
        tiling: how images are cut.
    """

    def __init__(self, detector: Detector, tiling: Tiling) -> None:
        self.detector, self.tiling, self.classes = detector, tiling, detector.classes

    def __call__(self, image: Readable) -> ImageDetections:
        """Detect in the image and in its tiles.

        Args:
            image: as `Detector.__call__` takes one.

        Returns:
            The detections, in pixels of the image.

        Raises:
            UserError: as `Detector.__call__`.
        """
        pixels = to_pixels(image)
        found = self.detector(pixels)
        corners = list(self.tiling.windows(*found.image_size))
        if len(corners) == 1:
            return found
        parts = [found, *(self._tile(pixels, y, x) for y, x in corners)]
        boxes, scores, labels = (torch.cat([getattr(p, key) for p in parts]) for key in ("boxes", "scores", "labels"))
        keep = _one_per_object(boxes, scores, labels)
        return ImageDetections(boxes[keep], scores[keep], labels[keep], found.classes, found.image_size)

    def _tile(self, pixels: Pixels, y: int, x: int) -> ImageDetections:
        side = self.tiling.side
        found = self.detector(pixels[y : y + side, x : x + side])
        found.boxes = found.boxes + torch.tensor([x, y, x, y])
        return found


def _one_per_object(boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """Indices of the boxes [D, 4] that stay, by descending score."""
    order = scores.argsort(descending=True, stable=True)
    keep = [_suppress(boxes, own) for own in (order[labels[order] == k] for k in set(labels.tolist()))]
    kept = torch.cat(keep) if keep else order
    return kept[scores[kept].argsort(descending=True, stable=True)]


def _suppress(boxes: Tensor, order: Tensor) -> Tensor:
    """Those of `order`, by descending score, that cover no better box and are covered by none."""
    kept: list[Tensor] = []
    while len(order):
        best, order = order[:1], order[1:]
        kept.append(best)
        inside = pairwise_coverage(boxes[best], boxes[order])[0]
        around = pairwise_coverage(boxes[order], boxes[best])[:, 0]
        order = order[torch.maximum(inside, around) <= COVERAGE]
    return torch.cat(kept)
