"""The `data` section of a localizer's config.

data = build_call(LocalizationData, cfg.data)      # an unknown or missing key is an error that names it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from resdet.data.loading import make_loader
from resdet.data.localization.crops import CenterCropWithBoxes, ShortSideWithBoxes, TrainCropWithBoxes
from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.loading import (
    CroppedWithBoxes,
    CropWithBoxesTransform,
    collate_localization,
    localization_eval_loader,
)
from resdet.data.sampling import TrainSampler
from resdet.data.transforms import DENSE_SCALES
from resdet.errors import UserError
from resdet.ranges import Count, Natural
from resdet.structures import LocalizationBatch, MappedBatch

TestCrops = Literal["1-crop", "dense"]  # a localizer's test: centre crop, or whole images at several scales


@dataclass(frozen=True)
class LocalizationData:
    """Data sets of a localizer and how they are loaded.

    Args:
        train, test: the data sets; `train` may be left out where nothing is trained.
        train_view, test_view: how images are cropped in training and in the "1-crop" test (data/localization/crops.py);
            both end at one size, which anchors and `scales` refer to.
        images: images per optimizer step, over all processes and accumulated passes.
        test_images: images per batch at test.
        workers: loader processes per training process.
        skip_unreadable: in training, use the next readable image for one that cannot be read, with a warning
            (data/unreadable.py); the R-CNN stage draws no region from such an image. At test every image counts.
        scales: short sides in pixels of the dense test, given for a net trained on crops of 224; scaled in proportion
            for other sizes.
        vote: box voting at test: each class's best box becomes the score-weighted mean of all its boxes with at least
            this IoU to it (localization/inference.vote_for), for the RPN's boxes or the R-CNN stage's; None keeps the
            best box itself.

    Raises:
        UserError: a data set without boxes, views of different sizes, or `scales` or `vote` outside their range.
    """

    test: LocalizationDataset
    train_view: TrainCropWithBoxes
    test_view: CenterCropWithBoxes
    images: Count
    train: LocalizationDataset | None = None
    test_images: Count = 64
    workers: Natural = 2
    skip_unreadable: bool = False
    scales: Sequence[Count] = DENSE_SCALES
    vote: float | None = None

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            found = getattr(self, name)
            if found is not None and not isinstance(found, LocalizationDataset):
                raise UserError(f"data.{name} is a {type(found).__name__}, without boxes; set a LocalizationDataset")
        last = self.train_view.sizes[max(self.train_view.sizes)]
        if last != self.test_view.size:
            raise UserError(
                f"data.train_view.size is {last} at the end of training, data.test_view.size {self.test_view.size}: "
                "anchors and data.scales refer to one crop size; set both to the same size"
            )
        if not self.scales or min(self.scales) < 1:
            raise UserError(f"data.scales is {list(self.scales)}: give short sides in pixels, each 1 or more")
        if self.vote is not None and not 0 < self.vote <= 1:
            raise UserError(f"data.vote is {self.vote}: give an IoU above 0 and up to 1, or None")

    def training(self, sampler: TrainSampler, device: torch.device) -> Iterable[LocalizationBatch]:
        """Endless training batches in the sampler's order, not yet on `device`."""
        assert self.train is not None
        crops = CroppedWithBoxes(self.train, self.train_view, self.skip_unreadable)
        return make_loader(crops, sampler, collate_localization, self.workers, pin=device.type == "cuda")

    def one_crop(self, order: np.ndarray, device: torch.device) -> Iterator[list[MappedBatch]]:
        """The test images of `order`, int64 [N], cropped by the test view: lists of one batch."""
        return self._test_batches(self.test_crops("1-crop"), order, device)

    def dense(
        self, order: np.ndarray, device: torch.device, scales: Sequence[int] | None = None
    ) -> Iterator[list[MappedBatch]]:
        """The test images of `order`, int64 [N], uncropped: lists of one batch per scale; None: the config's scales."""
        return self._test_batches(self.test_crops("dense", scales), order, device)

    def test_crops(self, views: TestCrops, scales: Sequence[int] | None = None) -> list[CropWithBoxesTransform]:
        """The crops that a test looks at.

        Args:
            views: "1-crop" for the test view alone, "dense" for whole images at several scales.
            scales: short sides of the dense test, given for crops of 224; None: the config's.
        """
        if views == "1-crop":
            return [self.test_view]
        shorts = [max(1, round(short * self.test_view.size / 224)) for short in scales or self.scales]
        return [ShortSideWithBoxes(short) for short in shorts]

    def _test_batches(
        self, crops: Sequence[CropWithBoxesTransform], order: np.ndarray, device: torch.device
    ) -> Iterator[list[MappedBatch]]:
        pin = device.type == "cuda"
        return localization_eval_loader(self.test, crops, order, self.test_images, self.workers, pin)
