"""Dataclasses passed between the packages: samples, batches, feature maps and detections. They need torch only.

Boxes have one convention inside resdet: float ``(x1, y1, x2, y2)`` in pixels, continuous, so that ``x2 - x1`` is the
width. The readers and writers of each file format convert from and to its own convention.

Shapes: N images, G ground-truth slots (padded to the image with the most objects), R regions, D detections, K classes
(labels 0..K-1; K itself is the background).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass
class Sample:
    """One decoded image and its objects, in the image's own pixels."""

    image: Tensor  # uint8 [H, W, 3], RGB
    boxes: Tensor  # float32 [G, 4]
    labels: Tensor  # int64 [G], 0..K-1
    difficult: Tensor  # bool [G], PASCAL VOC's flag: neither a true nor a false positive at test
    crowd: Tensor  # bool [G], COCO's flag: a region of many objects, never a positive
    image_id: str


class TensorBatch:
    """Base of the batches: moves and pins every field that is a tensor; its length is the number of images."""

    image_ids: list[str]  # a field of every subclass; declared here for `__len__`

    def to(self, device: torch.device | str) -> Self:
        """Copy to `device`; a copy from pinned memory overlaps with computation."""
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """Copy to page-locked memory; torch's DataLoader calls it when ``pin_memory=True``."""
        return self._with_tensors(Tensor.pin_memory)

    def _with_tensors(self, function: Callable[[Tensor], Tensor]) -> Self:
        result = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(result, name, function(value))
        return result

    def __len__(self) -> int:
        return len(self.image_ids)


@dataclass
class Batch(TensorBatch):
    """Images for a detector, padded to one shape; boxes in each image's pixels before resizing.

    A box of the image lies at ``box * scale`` in the network input.
    """

    images: Tensor  # uint8 [N, 3, H, W] (channels_last memory), RGB, padding 0
    sizes: Tensor  # int64 [N, 2], (height, width) of each image inside the padded one
    image_sizes: Tensor  # int64 [N, 2], (height, width) of each image before it was resized to `sizes`
    boxes: Tensor  # float32 [N, G, 4], in image pixels
    labels: Tensor  # int64 [N, G]
    crowd: Tensor  # bool [N, G]
    mask: Tensor  # bool [N, G], False where the slot is padding
    seeds: Tensor  # int64 [N], keys of every random draw made for this image in this step
    padded: bool  # whether any image is smaller than the padded shape
    crowded: bool  # whether any box is a crowd
    image_ids: list[str]

    @property
    def scale(self) -> Tensor:
        """Network input pixels per image pixel, float32 [N, 4] as (x, y, x, y)."""
        return (self.sizes / self.image_sizes).flip(-1).repeat(1, 2)


@dataclass
class Pyramid:
    """The same images resized to several sizes, for multi-scale testing."""

    levels: list[Batch]  # smallest size first

    @property
    def image_sizes(self) -> Tensor:
        """Image sizes before resizing, int64 [N, 2] (height, width); equal on all levels."""
        return self.levels[0].image_sizes

    @property
    def image_ids(self) -> list[str]:
        """Image ids, N; equal on all levels."""
        return self.levels[0].image_ids

    def to(self, device: torch.device | str) -> Pyramid:
        """Copy to `device`; a copy from pinned memory overlaps with computation."""
        return Pyramid([level.to(device) for level in self.levels])

    def pin_memory(self) -> Pyramid:
        """Copy to page-locked memory; torch's DataLoader calls it when ``pin_memory=True``."""
        return Pyramid([level.pin_memory() for level in self.levels])

    def __len__(self) -> int:
        return len(self.levels[0])


@dataclass
class LabelledImages(TensorBatch):
    """Images of one shape and their classes, for a classifier."""

    images: Tensor  # uint8 [N, 3, H, W] (channels_last memory), RGB
    labels: Tensor  # int64 [N]
    seeds: Tensor  # int64 [N], keys of every random draw made for this image in this step
    image_ids: list[str]


@dataclass
class LocalizationBatch(TensorBatch):
    """Crops of one shape for a localizer, the class of each, and the boxes of that class's objects in crop pixels."""

    images: Tensor  # uint8 [N, 3, H, W] (channels_last memory), RGB
    labels: Tensor  # int64 [N]
    boxes: Tensor  # float32 [N, G, 4], clipped to the crop
    mask: Tensor  # bool [N, G], False where the slot is padding
    seeds: Tensor  # int64 [N], keys of every random draw made for this image in this step
    image_ids: list[str]


@dataclass
class MappedBatch(LocalizationBatch):
    """Crops for testing a localizer, with their mapping: ``image pixels = crop pixels / scale + offset``."""

    scale: Tensor  # float32 [N, 4], crop pixels per image pixel, as (x, y, x, y)
    offset: Tensor  # float32 [N, 4], where the crop's corner lies in the image, in image pixels
    image_sizes: Tensor  # int64 [N, 2], (height, width) of each image
    indices: Tensor  # int64 [N], positions in the data set
    readable: Tensor  # bool [N], False where a blank crop replaces an image that cannot be read


@dataclass
class RegionBatch(TensorBatch):
    """Warped regions for the R-CNN stage of localization, each with its image's class and its regression target."""

    images: Tensor  # uint8 [B, 3, S, S] (channels_last memory), RGB
    labels: Tensor  # int64 [B], class of the image
    positive: Tensor  # bool [B]
    targets: Tensor  # float32 [B, 4], encode(object, region, delta_weights); undefined where not positive
    valid: Tensor  # bool [B], False where the slot is padding
    seeds: Tensor  # int64 [B], keys of every random draw made for this region in this step
    image_ids: list[str]


@dataclass
class Features:
    """A detector's feature map and how it relates to the images."""

    map: Tensor  # [N, C, h, w], zero in the cells outside an image
    cells: Tensor  # int64 [N, 2], (height, width) in cells of each image inside the map
    scale: Tensor  # float32 [N, 4], network input pixels per image pixel, (x, y, x, y)
    image_sizes: Tensor  # int64 [N, 2], (height, width) of each image in its own pixels


@dataclass
class Detections:
    """A detector's output for one image: boxes in the image's own pixels, by descending score.

    What `load_detector(...)(image)` gives is more: it knows the classes' names and the image's size, so that it is
    indexed, sliced and iterated, and has to_dict, to_coco, to_voc, to_yolo, to_supervision and to_pandas
    (recipes/detection/result.py).

    Examples:
        >>> sure = detections.above(0.9)
        >>> len(sure) <= len(detections), sure.boxes.shape[1]
        (True, 4)
        >>> len(detections[:10].to_coco()) == len([found.name for found in detections[:10]])
        True
    """

    boxes: Tensor  # float32 [D, 4]
    scores: Tensor  # float32 [D]
    labels: Tensor  # int64 [D]

    def __len__(self) -> int:
        return len(self.scores)

    def chosen(self, index: slice | Tensor | Sequence[int]) -> Self:
        """The detections at a slice, an index or mask tensor, or a list of indices, in that order."""
        return replace(self, boxes=self.boxes[index], scores=self.scores[index], labels=self.labels[index])

    def above(self, threshold: float) -> Self:
        """Return the detections with a score of at least `threshold`."""
        return self.chosen(self.scores >= threshold)

    def cpu(self) -> Self:
        """Copy to the CPU."""
        return replace(self, boxes=self.boxes.cpu(), scores=self.scores.cpu(), labels=self.labels.cpu())
