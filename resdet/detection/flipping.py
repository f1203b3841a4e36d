"""Flip testing, beyond the paper: each region is also classified in the mirrored image, and both answers are averaged.

flipped = Flipped(detector)       # detector: FasterRCNN, or MultiScale
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resdet.boxes.geometry import mirror_within
from resdet.boxes.proposals import Proposals
from resdet.detection.four_functions import FourFunctions
from resdet.structures import Batch, Pyramid


class _Both(NamedTuple):
    """Of the images as they are, and of the mirrored ones."""

    plain: Any
    mirrored: Any
    image_sizes: Tensor


class Flipped:
    """The four functions of a detector on the images and their mirror images. Proposals are those of the former."""

    def __init__(self, detector: FourFunctions) -> None:
        self.detector = detector

    def trunk(self, views: Batch | Pyramid) -> _Both:
        """Features of both."""
        return _Both(self.detector.trunk(views), self.detector.trunk(mirror_views(views)), views.image_sizes)

    def propose(self, features: _Both) -> Proposals:
        """Proposals of the images as they are."""
        return self.detector.propose(features.plain)

    def embed(self, features: _Both, regions: Tensor) -> tuple[Any, Any]:
        """Vectors of the regions and of their mirror images."""
        mirrored = mirror_boxes(regions, features.image_sizes)
        return self.detector.embed(features.plain, regions), self.detector.embed(features.mirrored, mirrored)

    def predict(self, vectors: tuple[Any, Any], regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The means of both answers, the second mirrored back."""
        scores, boxes = self.detector.predict(vectors[0], regions, image_sizes)
        others, mirrored = self.detector.predict(vectors[1], mirror_boxes(regions, image_sizes), image_sizes)
        return (scores + others) / 2, (boxes + mirror_boxes(mirrored, image_sizes)) / 2


def mirror_boxes(boxes: Tensor, image_sizes: Tensor) -> Tensor:
    """Boxes [N, ..., 4] in the images mirrored left to right; image_sizes [N, 2] is (height, width)."""
    width = image_sizes[:, 1].to(boxes.dtype).view(-1, *[1] * (boxes.dim() - 2))
    return mirror_within(boxes, width)


def mirror_views(views: Batch | Pyramid) -> Batch | Pyramid:
    """Each image mirrored within its own width: the padding stays where it is."""
    if isinstance(views, Pyramid):
        return Pyramid([_mirror(level) for level in views.levels])
    return _mirror(views)


def _mirror(batch: Batch) -> Batch:
    x = torch.arange(batch.images.shape[-1], device=batch.images.device)
    width = batch.sizes[:, 1:]
    source = torch.where(x < width, width - 1 - x, x)  # [N, W]
    images = batch.images.gather(3, source[:, None, None].expand_as(batch.images))
    return replace(batch, images=images.contiguous(memory_format=torch.channels_last))
