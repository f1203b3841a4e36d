"""From data sets to batches: workers, padding, pinned memory.

loader = detection_loader(dataset, [resizer], sampler, augmentation, workers=2)    # endless, for training
for batch in detection_eval_loader(dataset, resizer, images=4): ...              # every image once, in order
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from resdet.data.sampling import Draw, TrainSampler, draw_seed
from resdet.data.transforms import DetectionAugmentation, Resizer, ShortSide
from resdet.errors import UserError
from resdet.structures import Batch, LabelledImages, Pyramid, Sample

MOST_SKIPPED = 100  # unreadable images in a row: beyond this the set is not there
logger = logging.getLogger("resdet")


class Samples(Protocol):
    """What a detection set offers (data/detection/annotations.py)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...


class Images(Protocol):
    """What a classification set offers (data/classification/imagenet.py)."""

    classes: Sequence[str]
    names: Sequence[str]  # what people call the classes
    labels: Any  # of the images, int [N]; data/classification/imagenet.UNKNOWN: a set without

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[np.ndarray, int]: ...
    def image_id(self, index: int) -> str:
        """A name for messages."""
        ...


class View(Protocol):
    """A crop: data/transforms.py's TrainCrop and CenterCrop."""

    def __call__(self, image: np.ndarray, seed: int, epoch: int) -> np.ndarray: ...  # noqa: D102


class _Detection(Dataset):
    def __init__(self, samples: Samples, resizers: Sequence[Resizer], augment: DetectionAugmentation | None) -> None:
        self.samples, self.resizers, self.augment = samples, resizers, augment

    def __getitem__(self, draw: Draw) -> tuple[Sample, tuple[int, int], int]:
        sample = self.samples[draw.index]
        if self.augment is not None:
            sample = self.augment(sample, draw.seed)
        return resized(sample, self._resizer(draw.seed), draw.seed)

    def _resizer(self, seed: int) -> Resizer:
        """One of several, drawn for the image and epoch; the 1 keeps the draw apart from the augmentation's."""
        if len(self.resizers) == 1:
            return self.resizers[0]
        return self.resizers[int(np.random.default_rng([seed, 1]).integers(len(self.resizers)))]

    def __len__(self) -> int:
        return len(self.samples)


class _Pyramids(Dataset):
    def __init__(self, samples: Samples, resizers: Sequence[Resizer]) -> None:
        self.samples, self.resizers = samples, resizers

    def __getitem__(self, draw: Draw) -> list[tuple[Sample, tuple[int, int], int]]:
        sample = self.samples[draw.index]
        return [resized(sample, resizer, draw.seed) for resizer in self.resizers]

    def __len__(self) -> int:
        return len(self.samples)


class _Classification(Dataset):
    def __init__(self, images: Images, view: View, skip: bool = False) -> None:
        self.images, self.view, self.skip = images, view, skip

    def __getitem__(self, draw: Draw) -> tuple[np.ndarray, int, int, str]:
        index, image, label = self._read(draw.index)
        return self.view(image, draw.seed, draw.epoch), label, draw.seed, self.images.image_id(index)

    def _read(self, index: int) -> tuple[int, np.ndarray, int]:
        """The image, or the next one that can be read."""
        for following in range(MOST_SKIPPED if self.skip else 0):
            at = (index + following) % len(self.images)
            try:
                return at, *self.images[at]
            except UserError as error:
                logger.warning("%s; the next image is taken instead", error)
        return index, *self.images[index]

    def __len__(self) -> int:
        return len(self.images)


def resized(sample: Sample, resizer: Resizer, seed: int = 0) -> tuple[Sample, tuple[int, int], int]:
    """What `collate_detection` takes: the sample with its image resized, the size before, the seed."""
    height, width = sample.image.shape[:2]
    return replace(sample, image=torch.from_numpy(resizer(sample.image.numpy()))), (height, width), seed


def collate_pyramid(items: Sequence[Sequence[tuple[Sample, tuple[int, int], int]]]) -> Pyramid:
    """Of each image its sizes in order -> a Pyramid, each level padded for itself."""
    return Pyramid([collate_detection(level) for level in zip(*items, strict=True)])


def collate_detection(items: Sequence[tuple[Sample, tuple[int, int], int]]) -> Batch:
    """(resized sample, its size before, its seed) of each image to one Batch, all padded to the largest."""
    samples = [item[0] for item in items]
    sizes = torch.tensor([s.image.shape[:2] for s in samples])
    height, width = sizes.amax(0).tolist()
    slots = max(1, max(len(s.boxes) for s in samples))
    n = len(samples)
    padded = bool((sizes != torch.tensor([height, width])).any())
    images = (torch.zeros if padded else torch.empty)((n, height, width, 3), dtype=torch.uint8)
    batch = Batch(
        images=images.permute(0, 3, 1, 2),
        sizes=sizes,
        image_sizes=torch.tensor([item[1] for item in items]),
        boxes=torch.zeros(n, slots, 4),
        labels=torch.zeros(n, slots, dtype=torch.int64),
        crowd=torch.zeros(n, slots, dtype=torch.bool),
        mask=torch.zeros(n, slots, dtype=torch.bool),
        seeds=torch.tensor([item[2] for item in items], dtype=torch.int64),
        padded=padded,
        crowded=any(bool(s.crowd.any()) for s in samples),
        image_ids=[s.image_id for s in samples],
    )
    for i, sample in enumerate(samples):
        h, w = sample.image.shape[:2]
        images[i, :h, :w] = sample.image
        count = len(sample.boxes)
        batch.boxes[i, :count] = sample.boxes
        batch.labels[i, :count] = sample.labels
        batch.crowd[i, :count] = sample.crowd
        batch.mask[i, :count] = True
    return batch


def collate_images(items: Sequence[tuple[np.ndarray, int, int, str]]) -> LabelledImages:
    """Crops of one size, their labels, seeds and names, to one batch."""
    crops, labels, seeds, image_ids = zip(*items, strict=True)
    images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    return LabelledImages(images, torch.tensor(labels), torch.tensor(seeds), list(image_ids))


def detection_loader(
    samples: Samples,
    resizers: Sequence[Resizer],
    sampler: TrainSampler,
    augment: DetectionAugmentation | None = None,
    workers: int = 2,
    pin: bool = False,
) -> DataLoader:
    """Endless batches for training, in the sampler's order whatever the number of workers.

    Of several resizers one is drawn for each image (multi-scale training).
    """
    return make_loader(_Detection(samples, resizers, augment), sampler, collate_detection, workers, pin)


def detection_eval_loader(
    samples: Samples,
    resizer: Resizer | Sequence[Resizer],
    images: int = 1,
    workers: int = 2,
    pin: bool = False,
    rank: int = 0,
    world: int = 1,
) -> DataLoader:
    """Every image once, in order; of several processes each takes every world-th batch.

    Gives Batches for a resizer, Pyramids for a sequence of them.
    """
    batches = batches_in_order(np.arange(len(samples)), images)[rank::world]
    if isinstance(resizer, Resizer):
        return make_loader(_Detection(samples, [resizer], None), batches, collate_detection, workers, pin)
    return make_loader(_Pyramids(samples, resizer), batches, collate_pyramid, workers, pin)


def image_loader(
    images: Images, view: View, sampler: TrainSampler, workers: int = 2, pin: bool = False, skip: bool = False
) -> DataLoader:
    """Endless batches of crops for training a classifier; `skip` takes the next image for one that cannot be read."""
    return make_loader(_Classification(images, view, skip), sampler, collate_images, workers, pin)


def image_eval_loader(
    images: Images,
    view: View,
    order: np.ndarray,
    size: int = 64,
    workers: int = 2,
    pin: bool = False,
    skip: bool = False,
) -> DataLoader:
    """The images of `order`, `size` at a time; `skip` as image_loader's."""
    batches = batches_in_order(order, size)
    return make_loader(_Classification(images, view, skip), batches, collate_images, workers, pin)


def whole_image_loader(
    images: Images, short: int, order: np.ndarray, size: int = 64, workers: int = 2, pin: bool = False
) -> Iterator[LabelledImages]:
    """The images of `order`, uncropped, short sides of `short` pixels; in batches of one shape, of at most `size`."""
    groups = make_loader(
        _Classification(images, ShortSide(short)), batches_in_order(order, size), _collate_by_shape, workers, pin
    )
    for batches in groups:
        yield from batches


def _collate_by_shape(items: Sequence[tuple[np.ndarray, int, int, str]]) -> list[LabelledImages]:
    by_shape: dict[tuple[int, ...], list] = {}
    for item in items:
        by_shape.setdefault(item[0].shape, []).append(item)
    return [collate_images(group) for group in by_shape.values()]


def batches_in_order(order: np.ndarray, size: int) -> list[list[Draw]]:
    """The images of `order`, `size` at a time, with the draws of epoch 0."""
    draws = [Draw(i, 0, draw_seed(0, 0, i)) for i in order.tolist()]
    return [draws[i : i + size] for i in range(0, len(draws), size)]


def make_loader(dataset: Dataset, batches: Iterable[list[Draw]], collate: Any, workers: int, pin: bool) -> DataLoader:
    """torch's DataLoader as all sets are read: workers without threads of their own, which leave signals to us."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # or the loader would draw from torch's own, and a resumed run from another state
        prefetch_factor=4 if workers else None,
    )


def _start_worker(worker: int) -> None:
    """A worker is one of several: OpenCV's own threads would fight with the others'. Ctrl-C and a
    cluster's SIGTERM are for the main process, which ends the workers when it has saved."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
