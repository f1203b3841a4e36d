"""Batches of crops with boxes, for training and testing a localizer.

crops = CroppedWithBoxes(dataset, TrainCropWithBoxes(224))
loader = make_loader(crops, sampler, collate_localization, workers=2, pin=False)   # LocalizationBatch, endless
crops = [ShortSideWithBoxes(short) for short in (224, 256)]
for batches in localization_eval_loader(dataset, crops, order): ...                # one MappedBatch per crop
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from resdet.data.loading import batches_in_order, make_loader
from resdet.data.localization.crops import CropWithBoxes
from resdet.data.localization.dataset import LocalizationDataset, LocalizedImage
from resdet.data.sampling import Draw
from resdet.data.unreadable import UnreadableImages
from resdet.structures import LocalizationBatch, MappedBatch


class CropWithBoxesTransform(Protocol):
    """Crops or resizes an image with its boxes: the classes of data/localization/crops.py."""

    def __call__(self, item: LocalizedImage, seed: int, epoch: int) -> CropWithBoxes:
        """Return the crop; `seed` keys what is random."""
        ...


def localization_eval_loader(
    images: LocalizationDataset,
    crops: Sequence[CropWithBoxesTransform],
    order: np.ndarray,
    batch_size: int = 64,
    workers: int = 2,
    pin: bool = False,
    skip_unreadable: bool | None = None,
) -> Iterator[list[MappedBatch]]:
    """One or several crops of each image of `order`, decoded once: a batch per crop, of the same images in one order.

    Out of every `batch_size` images of `order` those whose crops all have the same shapes share batches: batches can be
    smaller, and images can leave the order (`MappedBatch.indices`).

    Args:
        images: the data set.
        crops: what to cut from each image.
        order: indices of the images, int64 [N].
        batch_size: the most images in a batch.
        workers, pin: see data/loading.make_loader.
        skip_unreadable: give a blank crop, which is not `readable`, for an image that cannot be read: for proposals of
            a training set. None: in a test, where every image counts.
    """
    dataset = _EvalItems(images, crops, skip_unreadable)
    for groups in make_loader(dataset, batches_in_order(order, batch_size), _collate_by_shapes, workers, pin):
        yield from groups


@dataclass
class _Item:
    """One crop of one image."""

    crop: CropWithBoxes
    label: int
    seed: int
    image_id: str
    size: tuple[int, int]  # (height, width) of the image file
    index: int
    readable: bool = True


def collate_localization(items: Sequence[_Item]) -> LocalizationBatch:
    """Make a batch of crops of one shape; there is at least one slot for boxes."""
    n, slots = len(items), max(1, max(len(item.crop.boxes) for item in items))
    boxes, mask = torch.zeros(n, slots, 4), torch.zeros(n, slots, dtype=torch.bool)
    for i, item in enumerate(items):
        count = len(item.crop.boxes)
        boxes[i, :count] = torch.from_numpy(item.crop.boxes)
        mask[i, :count] = True
    return LocalizationBatch(
        images=torch.from_numpy(np.stack([item.crop.image for item in items])).permute(0, 3, 1, 2),
        labels=torch.tensor([item.label for item in items]),
        boxes=boxes,
        mask=mask,
        seeds=torch.tensor([item.seed for item in items]),
        image_ids=[item.image_id for item in items],
    )


def collate_mapped(items: Sequence[_Item]) -> MappedBatch:
    """Make a batch of crops of one shape, with each crop's mapping to its image."""
    return MappedBatch(
        **vars(collate_localization(items)),
        scale=torch.from_numpy(np.stack([item.crop.scale for item in items])).float(),
        offset=torch.from_numpy(np.stack([item.crop.offset for item in items])).float(),
        image_sizes=torch.tensor([item.size for item in items]),
        indices=torch.tensor([item.index for item in items]),
        readable=torch.tensor([item.readable for item in items]),
    )


def _collate_by_shapes(items: Sequence[list[_Item]]) -> list[list[MappedBatch]]:
    """Group images whose crops have the same shapes; per group one batch per crop."""
    by_shapes: dict[tuple[tuple[int, ...], ...], list[list[_Item]]] = {}
    for crops in items:
        by_shapes.setdefault(tuple(item.crop.image.shape for item in crops), []).append(crops)
    return [[collate_mapped(batch) for batch in zip(*group, strict=True)] for group in by_shapes.values()]


class CroppedWithBoxes(Dataset[_Item]):
    """One crop per image of a data set, indexed by `Draw`: for training.

    Args:
        images: the data set.
        crop: gives crops of one size.
        skip_unreadable: in training, whether to use the next readable image for one that cannot be read; None: in a
            test (data/unreadable.py).
    """

    def __init__(
        self, images: LocalizationDataset, crop: CropWithBoxesTransform, skip_unreadable: bool | None = None
    ) -> None:
        self.images, self.crop, self.unreadable = images, crop, UnreadableImages(skip_unreadable)

    def __getitem__(self, draw: Draw) -> _Item:
        index, item = self.unreadable.next_readable(self.images, draw.index)
        crop = self.crop(item, draw.seed, draw.epoch)
        return _Item(crop, item.label, draw.seed, self.images.image_id(index), item.size, index)

    def __len__(self) -> int:
        return len(self.images)


class _EvalItems(Dataset[list[_Item]]):
    """Several crops per image, indexed by draw."""

    def __init__(
        self, images: LocalizationDataset, crops: Sequence[CropWithBoxesTransform], skip_unreadable: bool | None
    ) -> None:
        self.images, self.crops = images, crops
        self.unreadable = UnreadableImages(skip_unreadable, "it is left out")

    def __getitem__(self, draw: Draw) -> list[_Item]:
        found, image_id = self.unreadable.read(self.images, draw.index), self.images.image_id(draw.index)
        item = _blank(int(self.images.labels[draw.index])) if found is None else found
        readable = found is not None
        crops = (crop(item, draw.seed, draw.epoch) for crop in self.crops)
        return [_Item(crop, item.label, draw.seed, image_id, item.size, draw.index, readable) for crop in crops]

    def __len__(self) -> int:
        return len(self.images)


def _blank(label: int) -> LocalizedImage:
    """A small black image that any crop can be cut from."""
    return LocalizedImage(np.zeros((8, 8, 3), np.uint8), label, np.zeros((0, 4), np.float32), (8, 8))
