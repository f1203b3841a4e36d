"""Flip testing (not in the paper): predictions are averaged over each image and its mirror image.

flipped = Flipped(detector)       # detector: FasterRCNN or MultiScale
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


class _BothFeatures(NamedTuple):
    """Features of the images and of their mirror images."""

    plain: Any
    mirrored: Any
    image_sizes: Tensor  # int64 [N, 2], (height, width)


class Flipped:
    """The four functions of a detector, averaged over images and mirror images; proposals come from the images."""

    def __init__(self, detector: FourFunctions) -> None:
        self.detector = detector

    def trunk(self, batch: Batch | Pyramid) -> _BothFeatures:
        """Features of the images and of their mirror images."""
        return _BothFeatures(self.detector.trunk(batch), self.detector.trunk(mirror_images(batch)), batch.image_sizes)

    def propose(self, features: _BothFeatures) -> Proposals:
        """Proposals from the images that are not mirrored."""
        return self.detector.propose(features.plain)

    def embed(self, features: _BothFeatures, regions: Tensor) -> tuple[Any, Any]:
        """Vectors of regions [N, R, 4], and of the mirrored regions in the mirror images."""
        mirrored = mirror_boxes(regions, features.image_sizes)
        return self.detector.embed(features.plain, regions), self.detector.embed(features.mirrored, mirrored)

    def predict(self, vectors: tuple[Any, Any], regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean class probabilities [N, R, K+1] and mean boxes [N, R, K, 4], the mirrored boxes flipped back."""
        scores, boxes = self.detector.predict(vectors[0], regions, image_sizes)
        others, mirrored = self.detector.predict(vectors[1], mirror_boxes(regions, image_sizes), image_sizes)
        return (scores + others) / 2, (boxes + mirror_boxes(mirrored, image_sizes)) / 2


def mirror_boxes(boxes: Tensor, image_sizes: Tensor) -> Tensor:
    """Boxes [N, ..., 4] in the images mirrored left to right; `image_sizes` [N, 2] is (height, width)."""
    width = image_sizes[:, 1].to(boxes.dtype).view(-1, *[1] * (boxes.dim() - 2))
    return mirror_within(boxes, width)


def mirror_images(batch: Batch | Pyramid) -> Batch | Pyramid:
    """The batch with each image mirrored within its own width, so that the padding stays on the right.

    Ground-truth boxes are not mirrored.
    """
    if isinstance(batch, Pyramid):
        return Pyramid([_mirror(level) for level in batch.levels])
    return _mirror(batch)


def _mirror(batch: Batch) -> Batch:
    x = torch.arange(batch.images.shape[-1], device=batch.images.device)
    width = batch.sizes[:, 1:]
    source = torch.where(x < width, width - 1 - x, x)  # [N, W]
    images = batch.images.gather(3, source[:, None, None].expand_as(batch.images))
    return replace(batch, images=images.contiguous(memory_format=torch.channels_last))
