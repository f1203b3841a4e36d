"""Batches for training and testing a detector.

loader = detection_loader(dataset, [resizer], sampler, augmentation, workers=2)       # endless, for training
for batch in detection_eval_loader(dataset, resizer, images=4): ...                 # every image once, in order
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from resdet.data.loading import batches_in_order, make_loader
from resdet.data.sampling import Draw, TrainSampler
from resdet.data.transforms import DetectionAugmentation, Resizer
from resdet.data.unreadable import UnreadableImages
from resdet.structures import Batch, Pyramid, Sample


class Samples(Protocol):
    """Anything indexed like a DetectionDataset (data/detection/annotations.py)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...


class ResizedSample(NamedTuple):
    """A sample whose image has the network input's size; its boxes stay in the pixels of the image before resizing."""

    sample: Sample
    image_size: tuple[int, int]  # (height, width) before resizing
    seed: int  # key of the random draws for this image in this step


def detection_loader(
    samples: Samples,
    resizers: Sequence[Resizer],
    sampler: TrainSampler,
    augment: DetectionAugmentation | None = None,
    workers: int = 2,
    pin: bool = False,
    skip_unreadable: bool = False,
) -> DataLoader[Any]:
    """Endless training batches (`Batch`) in the sampler's order, whatever the number of workers.

    Args:
        samples: the training set.
        resizers: to the network input's size; with several, one is drawn per image and epoch (multi-scale training).
        sampler: the images of each step.
        augment: applied before resizing.
        workers, pin: see `make_loader`.
        skip_unreadable: use the next readable image for one that cannot be read (data/unreadable.py).
    """
    dataset = _DetectionItems(samples, resizers, augment, skip_unreadable)
    return make_loader(dataset, sampler, collate_detection, workers, pin)


def detection_eval_loader(
    samples: Samples,
    resizer: Resizer | Sequence[Resizer],
    images: int = 1,
    workers: int = 2,
    pin: bool = False,
    rank: int = 0,
    world: int = 1,
) -> DataLoader[Any]:
    """Every image once, in order: a `Batch` for one resizer, a `Pyramid` for a sequence of them.

    Args:
        samples: the test set.
        resizer: to the network input's size; several for multi-scale testing, smallest first.
        images: images per batch.
        workers, pin: see `make_loader`.
        rank, world: this process takes every world-th batch, from batch `rank` on.
    """
    batches = batches_in_order(np.arange(len(samples)), images)[rank::world]
    if isinstance(resizer, Resizer):
        return make_loader(_DetectionItems(samples, [resizer]), batches, collate_detection, workers, pin)
    return make_loader(_PyramidItems(samples, resizer), batches, collate_pyramid, workers, pin)


def resize_sample(sample: Sample, resizer: Resizer, seed: int = 0) -> ResizedSample:
    """Resize the image of a sample, for `collate_detection`."""
    height, width = sample.image.shape[:2]
    resized = replace(sample, image=torch.from_numpy(resizer(sample.image.numpy())))
    return ResizedSample(resized, (height, width), seed)


def collate_pyramid(items: Sequence[Sequence[ResizedSample]]) -> Pyramid:
    """Make a Pyramid from the resized samples of each image; each level is padded by itself.

    Args:
        items: per image its sizes, in the same order for all images.
    """
    return Pyramid([collate_detection(level) for level in zip(*items, strict=True)])


def collate_detection(items: Sequence[tuple[Sample, tuple[int, int], int]]) -> Batch:
    """Make a Batch, its images padded with zeros to the largest height and width.

    Args:
        items: `ResizedSample`s, or plain tuples of the same content.
    """
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


class _DetectionItems(Dataset[ResizedSample]):
    """Augmented and resized samples, indexed by draw."""

    def __init__(
        self,
        samples: Samples,
        resizers: Sequence[Resizer],
        augment: DetectionAugmentation | None = None,
        skip_unreadable: bool | None = None,
    ) -> None:
        self.samples, self.resizers, self.augment = samples, resizers, augment
        self.unreadable = UnreadableImages(skip_unreadable)

    def __getitem__(self, draw: Draw) -> ResizedSample:
        _, sample = self.unreadable.next_readable(self.samples, draw.index)
        if self.augment is not None:
            sample = self.augment(sample, draw.seed)
        return resize_sample(sample, self._resizer(draw.seed), draw.seed)

    def _resizer(self, seed: int) -> Resizer:
        """One of several, drawn by the seed; the 1 separates this draw from the augmentation's."""
        if len(self.resizers) == 1:
            return self.resizers[0]
        return self.resizers[int(np.random.default_rng([seed, 1]).integers(len(self.resizers)))]

    def __len__(self) -> int:
        return len(self.samples)


class _PyramidItems(Dataset[list[ResizedSample]]):
    """Each sample at several sizes, indexed by draw."""

    def __init__(self, samples: Samples, resizers: Sequence[Resizer]) -> None:
        self.samples, self.resizers = samples, resizers

    def __getitem__(self, draw: Draw) -> list[ResizedSample]:
        sample = self.samples[draw.index]
        return [resize_sample(sample, resizer, draw.seed) for resizer in self.resizers]

    def __len__(self) -> int:
        return len(self.samples)
