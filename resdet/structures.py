"""The shapes of data that travel through the house. Plain dataclasses, no dependency but torch.

ONE convention of boxes everywhere inside resdet: float ``(x1, y1, x2, y2)`` in pixels, continuous, so that
``x2 - x1`` is the width. Only the readers and writers of a file format know of its own convention.

Glossary of shapes: N images, G ground-truth slots, R regions, K classes (0..K-1; K itself is the background).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass
class Sample:
    """One decoded image and its objects, in the image's own pixels."""

    image: Tensor  # uint8 [H, W, 3], RGB
    boxes: Tensor  # float32 [G, 4]
    labels: Tensor  # int64 [G], 0..K-1
    difficult: Tensor  # bool [G], PASCAL's flag: neither hit nor miss at test time
    crowd: Tensor  # bool [G], COCO's flag: a region of many objects, never a positive
    image_id: str


@dataclass
class Batch:
    """Images padded to one shape; boxes in each image's pixels before resizing: ``pixels * scale = network input``."""

    images: Tensor  # uint8 [N, 3, H, W] (channels_last memory), RGB, padding 0
    sizes: Tensor  # int64 [N, 2], the (height, width) that each image fills of the padded one
    image_sizes: Tensor  # int64 [N, 2], the (height, width) of each image before it was resized to `sizes`
    boxes: Tensor  # float32 [N, G, 4], in image pixels
    labels: Tensor  # int64 [N, G]
    crowd: Tensor  # bool [N, G]
    mask: Tensor  # bool [N, G], False where the slot is padding
    seeds: Tensor  # int64 [N], keys of every random draw made for this image in this step
    padded: bool  # whether any image is smaller than the padded one
    crowded: bool  # whether any box is a crowd
    image_ids: list[str]

    @property
    def scale(self) -> Tensor:
        """Network input pixels for one pixel of the image, float32 [N, 4] as (x, y, x, y), to multiply boxes by."""
        return (self.sizes / self.image_sizes).flip(-1).repeat(1, 2)

    def to(self, device: torch.device | str) -> Batch:
        """A copy on `device`; from pinned memory the copies overlap with computation."""
        moved = {f.name: _move(getattr(self, f.name), device) for f in fields(self)}
        return replace(self, **moved)

    def pin_memory(self) -> Batch:
        """Called by torch's DataLoader when ``pin_memory=True``."""
        pinned = {f.name: _pin(getattr(self, f.name)) for f in fields(self)}
        return replace(self, **pinned)

    def __len__(self) -> int:
        return len(self.image_ids)


@dataclass
class Pyramid:
    """The same images resized to several sizes, smallest first: what multi-scale testing looks at."""

    levels: list[Batch]

    @property
    def image_sizes(self) -> Tensor:
        """int64 [N, 2], as of every level."""
        return self.levels[0].image_sizes

    @property
    def image_ids(self) -> list[str]:
        """As of every level."""
        return self.levels[0].image_ids

    def to(self, device: torch.device | str) -> Pyramid:
        """A copy on `device`."""
        return Pyramid([level.to(device) for level in self.levels])

    def pin_memory(self) -> Pyramid:
        """Called by torch's DataLoader when ``pin_memory=True``."""
        return Pyramid([level.pin_memory() for level in self.levels])

    def __len__(self) -> int:
        return len(self.levels[0])


@dataclass
class Features:
    """What a detector's trunk answers: the map, and how its cells lie on each image."""

    map: Tensor  # [N, C, h, w], zero in the cells outside an image
    cells: Tensor  # int64 [N, 2], the (height, width) that each image fills of the map
    scale: Tensor  # float32 [N, 4], network input pixels for one pixel of the image, (x, y, x, y)
    image_sizes: Tensor  # int64 [N, 2], the (height, width) of each image in its own pixels


@dataclass
class Detections:
    """What a detector answers for one image: boxes in the image's own pixels, by falling score."""

    boxes: Tensor  # float32 [D, 4]
    scores: Tensor  # float32 [D]
    labels: Tensor  # int64 [D]

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, threshold: float) -> Detections:
        """Only the detections with a score of at least `threshold`."""
        keep = self.scores >= threshold
        return Detections(self.boxes[keep], self.scores[keep], self.labels[keep])

    def cpu(self) -> Detections:
        """A copy on the CPU."""
        return Detections(self.boxes.cpu(), self.scores.cpu(), self.labels.cpu())


def _move(value: Any, device: torch.device | str) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def _pin(value: Any) -> Any:
    return value.pin_memory() if isinstance(value, Tensor) else value


@dataclass
class LabelledImages:
    """A batch for classification: crops of one size and their classes."""

    images: Tensor  # uint8 [N, 3, S, S] (channels_last memory), RGB
    labels: Tensor  # int64 [N]
    seeds: Tensor  # int64 [N], keys of every random draw made for this image in this step
    image_ids: list[str]

    def to(self, device: torch.device | str) -> LabelledImages:
        """A copy on `device`."""
        return replace(self, **{f.name: _move(getattr(self, f.name), device) for f in fields(self)})

    def pin_memory(self) -> LabelledImages:
        """Called by torch's DataLoader when ``pin_memory=True``."""
        return replace(self, **{f.name: _pin(getattr(self, f.name)) for f in fields(self)})

    def __len__(self) -> int:
        return len(self.image_ids)


@dataclass
class LocalizationBatch:
    """Crops of one size, the class of each, and the boxes of that class's objects in the crop's own pixels."""

    images: Tensor  # uint8 [N, 3, S, S] (channels_last memory), RGB
    labels: Tensor  # int64 [N]
    boxes: Tensor  # float32 [N, G, 4], clipped to the crop
    mask: Tensor  # bool [N, G], False where the slot is padding
    seeds: Tensor  # int64 [N], keys of every random draw made for this image in this step
    image_ids: list[str]

    def to(self, device: torch.device | str) -> LocalizationBatch:
        """A copy on `device`."""
        return replace(self, **{f.name: _move(getattr(self, f.name), device) for f in fields(self)})

    def pin_memory(self) -> LocalizationBatch:
        """Called by torch's DataLoader when ``pin_memory=True``."""
        return replace(self, **{f.name: _pin(getattr(self, f.name)) for f in fields(self)})

    def __len__(self) -> int:
        return len(self.image_ids)
