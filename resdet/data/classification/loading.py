"""Batches of image crops for training and testing a classifier.

crops = CroppedImages(dataset, TrainCrop(224))
loader = make_loader(crops, sampler, collate_images, workers=2, pin=False)     # LabelledImages, endless
crops, batches = CroppedImages(dataset, CenterCrop(224)), batches_in_order(order, 64)
for batch in make_loader(crops, batches, collate_images, workers=2, pin=False): ...    # the images of `order`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from resdet.data.sampling import Draw
from resdet.data.unreadable import UnreadableImages
from resdet.structures import LabelledImages


class ClassificationDataset(Protocol):
    """Images with one class each, such as ImageNetDataset (data/classification/imagenet.py)."""

    classes: Sequence[str]
    names: Sequence[str]  # human-readable names of the classes
    labels: Any  # int [N]; data/classification/imagenet.UNKNOWN where the class is not public

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[np.ndarray, int]: ...
    def image_id(self, index: int) -> str:
        """A name of the image, for messages and result files."""
        ...


class CropTransform(Protocol):
    """Cuts and resizes an image: TrainCrop, CenterCrop, ShortSide (data/transforms.py)."""

    def __call__(self, image: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Return the crop, uint8 [h, w, 3], of an image uint8 [H, W, 3]; `seed` keys what is random."""
        ...


class LabelledCrop(NamedTuple):
    """One item of a batch."""

    pixels: np.ndarray  # uint8 [h, w, 3], RGB
    label: int
    seed: int  # key of the random draws for this image in this step
    image_id: str


def collate_images(items: Sequence[tuple[np.ndarray, int, int, str]]) -> LabelledImages:
    """Make a batch of crops of one size.

    Args:
        items: `LabelledCrop`s, or plain tuples of the same content.
    """
    crops, labels, seeds, image_ids = zip(*items, strict=True)
    images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    return LabelledImages(images, torch.tensor(labels), torch.tensor(seeds), list(image_ids))


def collate_by_shape(items: Sequence[LabelledCrop]) -> list[LabelledImages]:
    """Make a batch of the items of each shape, in the order in which the shapes first appear."""
    by_shape: dict[tuple[int, ...], list[LabelledCrop]] = {}
    for item in items:
        by_shape.setdefault(item.pixels.shape, []).append(item)
    return [collate_images(group) for group in by_shape.values()]


class CroppedImages(Dataset[LabelledCrop]):
    """The crops of a data set, indexed by `Draw`.

    Args:
        images: the data set.
        crop: cuts or resizes each image.
        skip_unreadable: in training, whether to use the next readable image for one that cannot be read; None: in a
            test (data/unreadable.py).
    """

    def __init__(self, images: ClassificationDataset, crop: CropTransform, skip_unreadable: bool | None = None) -> None:
        self.images, self.crop, self.unreadable = images, crop, UnreadableImages(skip_unreadable)

    def __getitem__(self, draw: Draw) -> LabelledCrop:
        index, (image, label) = self.unreadable.next_readable(self.images, draw.index)
        return LabelledCrop(self.crop(image, draw.seed, draw.epoch), label, draw.seed, self.images.image_id(index))

    def __len__(self) -> int:
        return len(self.images)
