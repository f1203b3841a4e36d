"""What a localizer looks at when it is tested: an image at some scale, whole or cropped, perhaps mirrored.

view = View.of(resized, image_sizes)                          # the whole image, resized
view = View.of(crops, image_sizes, resized_sizes, corners)    # crops of the resized image
views = [view, view.mirrored()]
boxes = view.to_image(boxes)                                  # from the network's input to the image's own pixels
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from resdet.boxes.geometry import clip_boxes, mirror_within


@dataclass
class View:
    """N images of one input size: ``image pixels = input pixels / scale + offset``."""

    images: Tensor  # uint8 [N, 3, h, w], RGB, nothing padded
    scale: Tensor  # float32 [N, 4], input pixels for one pixel of the image, (x, y, x, y)
    offset: Tensor  # float32 [N, 4], where the input's corner lies in the image, (x, y, x, y) in its own pixels
    image_sizes: Tensor  # int64 [N, 2], the (height, width) of each image in its own pixels
    flipped: bool = False  # whether `images` are mirrored; scale and offset are of the input before that

    @staticmethod
    def of(images: Tensor, image_sizes: Tensor, resized: Tensor | None = None, corners: Tensor | None = None) -> View:
        """Images of `image_sizes` that were resized to `resized` [N, 2] and cropped at `corners` [N, 2] (top, left).

        None: resized to what `images` have, cropped nowhere.
        """
        if resized is None:
            resized = torch.tensor(images.shape[-2:], device=image_sizes.device)
        scale = (resized / image_sizes).flip(-1).repeat(1, 2)
        if corners is None:
            return View(images, scale, torch.zeros_like(scale), image_sizes)
        return View(images, scale, corners.flip(-1).repeat(1, 2) / scale, image_sizes)

    def mirrored(self) -> View:
        """The same images, left and right exchanged."""
        return replace(self, images=self.images.flip(-1), flipped=not self.flipped)

    def to_image(self, boxes: Tensor) -> Tensor:
        """Boxes [N, ..., 4] of the input in the images' own pixels, mirrored back and clipped to the images."""
        if self.flipped:
            boxes = mirror_within(boxes, self.images.shape[-1])
        spread = (len(boxes),) + (1,) * (boxes.dim() - 2) + (4,)
        return clip_boxes(boxes / self.scale.view(spread) + self.offset.view(spread), self.image_sizes)

    def to(self, device: torch.device | str) -> View:
        """A copy on `device`."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("images", "scale", "offset", "image_sizes")
        }
        return replace(self, **moved)

    def __len__(self) -> int:
        return len(self.images)
