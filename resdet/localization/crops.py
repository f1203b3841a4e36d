"""Crops that localizers are tested on, with the mapping of their boxes to the images.

    crops = MappedCrops.of(resized, image_sizes)                          # whole images, resized
    crops = MappedCrops.of(cut, image_sizes, resized_sizes, corners)      # cut from resized images
    every = [crops, crops.mirrored()]                                     # what localization/inference.py takes
    boxes = crops.to_image(boxes)                                         # crop pixels to image pixels

Shapes: N crops of h x w pixels. A resized whole image is a crop too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from resdet.boxes.geometry import clip_boxes, mirror_within
from resdet.structures import MappedBatch


@dataclass
class MappedCrops:
    """N crops of one size: ``image pixels = crop pixels / scale + offset``."""

    images: Tensor  # uint8 [N, 3, h, w], RGB, without padding
    scale: Tensor  # float32 [N, 4], crop pixels per image pixel, as (x, y, x, y)
    offset: Tensor  # float32 [N, 4], where the crop's corner lies, in image pixels, as (x, y, x, y)
    image_sizes: Tensor  # int64 [N, 2], (height, width) of each image
    flipped: bool = False  # whether `images` are mirrored; scale and offset are those before mirroring

    @staticmethod
    def of(
        images: Tensor, image_sizes: Tensor, resized: Tensor | None = None, corners: Tensor | None = None
    ) -> MappedCrops:
        """Crops of images that were resized and then cut.

        Args:
            images: the crops, uint8 [N, 3, h, w].
            image_sizes: int64 [N, 2], (height, width) of the original images.
            resized: int64 [N, 2], (height, width) after resizing; None: the size of the crops.
            corners: int64 [N, 2], (top, left) of each crop in the resized image; None: whole images.
        """
        if resized is None:
            resized = torch.tensor(images.shape[-2:], device=image_sizes.device)
        scale = (resized / image_sizes).flip(-1).repeat(1, 2)
        if corners is None:
            return MappedCrops(images, scale, torch.zeros_like(scale), image_sizes)
        return MappedCrops(images, scale, corners.flip(-1).repeat(1, 2) / scale, image_sizes)

    @staticmethod
    def of_batch(batch: MappedBatch) -> MappedCrops:
        """The crops of a loader's batch."""
        return MappedCrops(batch.images, batch.scale, batch.offset, batch.image_sizes)

    def mirrored(self) -> MappedCrops:
        """The crops mirrored left to right; `to_image` mirrors their boxes back."""
        return replace(self, images=self.images.flip(-1), flipped=not self.flipped)

    def to_image(self, boxes: Tensor) -> Tensor:
        """Boxes [N, ..., 4] from crop pixels to image pixels, clipped to the images."""
        if self.flipped:
            boxes = mirror_within(boxes, self.images.shape[-1])
        spread = (len(boxes),) + (1,) * (boxes.dim() - 2) + (4,)
        return clip_boxes(boxes / self.scale.view(spread) + self.offset.view(spread), self.image_sizes)

    def to(self, device: torch.device | str) -> MappedCrops:
        """A copy on `device`."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("images", "scale", "offset", "image_sizes")
        }
        return replace(self, **moved)

    def __len__(self) -> int:
        return len(self.images)
