"""The `data` section of a classifier's config: `ClassificationData` for image files, `ResidentData` for sets in memory.

data = build_call(ClassificationData, cfg.data)      # an unknown or missing key is an error that names it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from resdet.data.classification.loading import (
    ClassificationDataset,
    CroppedImages,
    CropTransform,
    collate_by_shape,
    collate_images,
)
from resdet.data.classification.resident import ResidentDataset, ResidentLoader, resident_batches
from resdet.data.loading import batches_in_order, make_loader
from resdet.data.sampling import TrainSampler
from resdet.data.transforms import DENSE_SCALES, ShortSide
from resdet.ranges import Count, Natural
from resdet.structures import LabelledImages


@dataclass(frozen=True)
class ClassificationData:
    """Data sets of image files and how they are loaded.

    Args:
        train, test: the data sets; `train` may be left out where nothing is trained.
        train_view, test_view: how images are cropped in training and at test (data/transforms.py).
        images: images per optimizer step, over all processes and accumulated passes.
        test_images: crops of the test view per batch; for whole images and ten crops the number is reduced in
            proportion to their pixels.
        workers: loader processes per training process.
        scales: short sides in pixels of the dense test, given for a net trained on crops of 224; scaled in proportion
            for other sizes.
        skip_unreadable: in training, use the next readable image for one that cannot be read, with a warning
            (data/unreadable.py). At test every image counts.
    """

    test: ClassificationDataset
    train_view: CropTransform
    test_view: CropTransform
    images: Count
    train: ClassificationDataset | None = None
    test_images: Count = 128
    workers: Natural = 2
    scales: Sequence[Count] = DENSE_SCALES
    skip_unreadable: bool = False

    def training(self, sampler: TrainSampler, device: torch.device) -> Iterable[LabelledImages]:
        """Endless training batches in the sampler's order, not yet on `device`."""
        assert self.train is not None
        crops = CroppedImages(self.train, self.train_view, self.skip_unreadable)
        return make_loader(crops, sampler, collate_images, self.workers, pin=device.type == "cuda")

    def testing(self, order: np.ndarray, device: torch.device) -> Iterable[LabelledImages]:
        """The test images of `order`, int64 [N], cropped by the test view."""
        return self._in_order(CroppedImages(self.test, self.test_view), order, self.test_images, device)

    def whole(self, order: np.ndarray, short: int, device: torch.device, pixels: float = 1) -> Iterator[LabelledImages]:
        """The test images of `order`, int64 [N], uncropped, each batch of one shape.

        The images of `order` are read in groups of a batch's size, and those of one shape in a group make a batch:
        batches can be smaller, and images can leave the order.

        Args:
            order: indices of the test images.
            short: short side of the resized images in pixels.
            device: where the batches will be used.
            pixels: pixels of an image relative to a crop of the test view; batches get smaller by this factor.
        """
        images = max(1, int(self.test_images / max(1, pixels)))
        resized = CroppedImages(self.test, ShortSide(short))
        draws = batches_in_order(order, images)
        for batches in make_loader(resized, draws, collate_by_shape, self.workers, pin=device.type == "cuda"):
            yield from batches

    def statistics(self, order: np.ndarray, device: torch.device) -> Iterable[LabelledImages]:
        """The training images of `order`, int64 [N], in the test view, `images` per batch: for BN statistics."""
        assert self.train is not None
        crops = CroppedImages(self.train, self.test_view, self.skip_unreadable)
        return self._in_order(crops, order, self.images, device)

    def _in_order(
        self, crops: CroppedImages, order: np.ndarray, images: int, device: torch.device
    ) -> Iterable[LabelledImages]:
        batches = batches_in_order(order, images)
        return make_loader(crops, batches, collate_images, self.workers, pin=device.type == "cuda")


@dataclass(frozen=True)
class ResidentData:
    """Data sets that are kept on the device (data/classification/resident.py), such as CIFAR-10.

    Args:
        train, test: the data sets; `train` may be left out where nothing is trained.
        images: images per optimizer step, over all processes and accumulated passes.
        test_images: images per batch at test.
    """

    test: ResidentDataset
    images: Count
    train: ResidentDataset | None = None
    test_images: Count = 1000

    def training(self, sampler: TrainSampler, device: torch.device) -> Iterable[LabelledImages]:
        """Endless training batches in the sampler's order, on `device`."""
        assert self.train is not None
        return ResidentLoader(self.train, sampler, device)

    def testing(self, order: np.ndarray, device: torch.device) -> Iterable[LabelledImages]:
        """The test images of `order`, int64 [N], on `device`."""
        return resident_batches(self.test, order, self.test_images, device)

    def statistics(self, order: np.ndarray, device: torch.device) -> Iterable[LabelledImages]:
        """The training images of `order`, int64 [N], `images` per batch, on `device`: for BN statistics."""
        assert self.train is not None
        return resident_batches(self.train, order, self.images, device)


Data = ClassificationData | ResidentData
