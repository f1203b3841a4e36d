"""Batches of crops with boxes, for training and testing a localizer.

    loader = localization_loader(dataset, LocalizationCrop(224), TrainSampler(len(dataset), 256, seed=0))    # endless
    for batch in localization_eval_loader(dataset, CenterLocalizationCrop(224), np.arange(len(dataset))):
        boxes = batch.in_images(found)                       # [N, R, 4] of the view's pixels to the image's
    for batch in whole_localization_loader(dataset, 256, order): ...
    for batches in localization_views_loader(dataset, [WholeLocalizationImage(s) for s in (224, 256)], order): ...

Sampler, draws and workers are the classifier's (data/loading.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resdet.boxes.geometry import clip_boxes
from resdet.data.loading import MOST_SKIPPED, batches_in_order, make_loader
from resdet.data.localization.crops import LocalizedView, WholeLocalizationImage
from resdet.data.localization.dataset import LocalizationDataset, LocalizedImage
from resdet.data.sampling import Draw, TrainSampler
from resdet.errors import UserError
from resdet.structures import LocalizationBatch

logger = logging.getLogger("resdet")


class LocalizationView(Protocol):
    """What data/localization/crops.py's classes are."""

    def __call__(self, item: LocalizedImage, seed: int, epoch: int) -> LocalizedView: ...  # noqa: D102


@dataclass
class MappedBatch(LocalizationBatch):
    """Views for testing, of one shape that need not be square: ``view = (image - offset) * scale``."""

    scale: Tensor  # float32 [N, 4], as (x, y, x, y)
    offset: Tensor  # float32 [N, 4], in image pixels
    image_sizes: Tensor  # int64 [N, 2], (height, width) of each image
    indices: Tensor  # int64 [N], places in the data set
    readable: Tensor  # bool [N], False where something blank stands for an image that cannot be read

    def in_images(self, boxes: Tensor) -> Tensor:
        """Boxes [N, R, 4] or [N, R, K, 4] in pixels of the views -> in those of their images, clipped to these."""
        spread = (len(self), *(1,) * (boxes.dim() - 2), 4)
        mapped = boxes.float() / self.scale.view(spread) + self.offset.view(spread)
        return clip_boxes(mapped, self.image_sizes)

    def to(self, device: torch.device | str) -> MappedBatch:
        """A copy on `device`."""
        return cast(MappedBatch, super().to(device))


@dataclass
class _Item:
    view: LocalizedView
    label: int
    seed: int
    image_id: str
    size: tuple[int, int]
    index: int
    readable: bool = True


class _Views(Dataset):
    def __init__(self, images: LocalizationDataset, view: LocalizationView, skip: bool = False) -> None:
        self.images, self.view, self.skip = images, view, skip

    def __getitem__(self, draw: Draw) -> _Item:
        index, item = self._read(draw.index)
        view = self.view(item, draw.seed, draw.epoch)
        return _Item(view, item.label, draw.seed, self.images.image_id(index), item.size, index)

    def _read(self, index: int) -> tuple[int, LocalizedImage]:
        """The image, or the next one that can be read."""
        for following in range(MOST_SKIPPED if self.skip else 0):
            at = (index + following) % len(self.images)
            try:
                return at, self.images[at]
            except UserError as error:
                logger.warning("%s; the next image is taken instead", error)
        return index, self.images[index]

    def __len__(self) -> int:
        return len(self.images)


def collate_localization(items: Sequence[_Item]) -> LocalizationBatch:
    """Views of one shape to one batch, their boxes padded to the most that one of them has (at least one slot)."""
    n, slots = len(items), max(1, max(len(item.view.boxes) for item in items))
    boxes, mask = torch.zeros(n, slots, 4), torch.zeros(n, slots, dtype=torch.bool)
    for i, item in enumerate(items):
        count = len(item.view.boxes)
        boxes[i, :count] = torch.from_numpy(item.view.boxes)
        mask[i, :count] = True
    return LocalizationBatch(
        images=torch.from_numpy(np.stack([item.view.image for item in items])).permute(0, 3, 1, 2),
        labels=torch.tensor([item.label for item in items]),
        boxes=boxes,
        mask=mask,
        seeds=torch.tensor([item.seed for item in items]),
        image_ids=[item.image_id for item in items],
    )


def collate_mapped(items: Sequence[_Item]) -> MappedBatch:
    """The same with each view's way back to its image."""
    return MappedBatch(
        **vars(collate_localization(items)),
        scale=torch.from_numpy(np.stack([item.view.scale for item in items])).float(),
        offset=torch.from_numpy(np.stack([item.view.offset for item in items])).float(),
        image_sizes=torch.tensor([item.size for item in items]),
        indices=torch.tensor([item.index for item in items]),
        readable=torch.tensor([item.readable for item in items]),
    )


def localization_loader(
    images: LocalizationDataset,
    view: LocalizationView,
    sampler: TrainSampler,
    workers: int = 2,
    pin: bool = False,
    skip: bool = False,
) -> DataLoader:
    """Endless batches for training; `skip` takes the next image for one that cannot be read."""
    return make_loader(_Views(images, view, skip), sampler, collate_localization, workers, pin)


def localization_eval_loader(
    images: LocalizationDataset,
    view: LocalizationView,
    order: np.ndarray,
    size: int = 64,
    workers: int = 2,
    pin: bool = False,
) -> DataLoader:
    """The images of `order`, `size` at a time, as MappedBatch."""
    return make_loader(_Views(images, view), batches_in_order(order, size), collate_mapped, workers, pin)


def whole_localization_loader(
    images: LocalizationDataset, short: int, order: np.ndarray, size: int = 64, workers: int = 2, pin: bool = False
) -> Iterator[MappedBatch]:
    """The images of `order`, uncropped, short sides of `short` pixels; in batches of one shape, of at most `size`."""
    views = _Views(images, WholeLocalizationImage(short))
    for batches in make_loader(views, batches_in_order(order, size), _collate_by_shape, workers, pin):
        yield from batches


def localization_views_loader(
    images: LocalizationDataset,
    views: Sequence[LocalizationView],
    order: np.ndarray,
    size: int = 64,
    workers: int = 2,
    pin: bool = False,
    skip: bool = False,
) -> Iterator[list[MappedBatch]]:
    """Several views of the images of `order`, each decoded once: a batch a view, of the same images in one order.

    Images share batches, of at most `size`, where all their views have the same shapes. `skip` gives something blank,
    which is not `readable`, for an image that cannot be read.
    """
    views_of_each = _SeveralViews(images, views, skip)
    for groups in make_loader(views_of_each, batches_in_order(order, size), _collate_views, workers, pin):
        yield from groups


class _SeveralViews(Dataset):
    def __init__(self, images: LocalizationDataset, views: Sequence[LocalizationView], skip: bool) -> None:
        self.images, self.views, self.skip = images, views, skip

    def __getitem__(self, draw: Draw) -> list[_Item]:
        item, image_id = self._read(draw.index), self.images.image_id(draw.index)
        readable = item is not None
        item = item or _blank(int(self.images.labels[draw.index]))
        seen = (view(item, draw.seed, draw.epoch) for view in self.views)
        return [_Item(view, item.label, draw.seed, image_id, item.size, draw.index, readable) for view in seen]

    def _read(self, index: int) -> LocalizedImage | None:
        try:
            return self.images[index]
        except UserError as error:
            if not self.skip:
                raise
            logger.warning("%s; it is passed over", error)
            return None

    def __len__(self) -> int:
        return len(self.images)


def _blank(label: int) -> LocalizedImage:
    """Some pixels that any view can take."""
    return LocalizedImage(np.zeros((8, 8, 3), np.uint8), label, np.zeros((0, 4), np.float32), (8, 8))


def _collate_views(items: Sequence[list[_Item]]) -> list[list[MappedBatch]]:
    by_shapes: dict[tuple, list[list[_Item]]] = {}
    for views in items:
        by_shapes.setdefault(tuple(item.view.image.shape for item in views), []).append(views)
    return [[collate_mapped(view) for view in zip(*group, strict=True)] for group in by_shapes.values()]


def _collate_by_shape(items: Sequence[_Item]) -> list[MappedBatch]:
    by_shape: dict[tuple[int, ...], list[_Item]] = {}
    for item in items:
        by_shape.setdefault(item.view.image.shape, []).append(item)
    return [collate_mapped(group) for group in by_shape.values()]
