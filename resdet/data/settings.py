"""What a config's `data` section holds, for a detector, a classifier and a localizer.

data = build_call(DetectionData, cfg.data)      # an unknown or missing key is named
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch

from resdet.data.classification.resident import ResidentImages, ResidentLoader, resident_batches
from resdet.data.detection.annotations import DetectionDataset
from resdet.data.loading import Images, View, image_eval_loader, image_loader, whole_image_loader
from resdet.data.localization.crops import CenterLocalizationCrop, LocalizationCrop, WholeLocalizationImage
from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.loading import (
    LocalizationView,
    MappedBatch,
    localization_loader,
    localization_views_loader,
)
from resdet.data.sampling import TrainSampler
from resdet.data.transforms import Resizer
from resdet.errors import UserError
from resdet.structures import LabelledImages, LocalizationBatch

Rule = Literal["area", "11-point", "ilsvrc", "coco"]  # of the AP: VOC's since 2010, of 2007; ImageNet DET's; COCO's


@dataclass(frozen=True)
class DetectionData:
    """Sets and how they are fed.

    Args:
        train, test: the data sets; `train` may be left out where nothing is trained.
        resizer: to the network's input, in training and at test.
        train_scales: multi-scale training, beyond the paper: short sides of which each training image gets one by
            chance; () is the resizer's alone.
        augment: albumentations transforms, see data/transforms.DetectionAugmentation.
        images: in one optimizer step, over all processes and accumulated passes.
        group_aspects: take the images of a training step from those that are wider than high or from the others, so
            that little is padded.
        test_images: in a batch at test.
        workers: loader processes, for each training process.
        method: of the AP: "area" or "11-point" by VOC's rules, "ilsvrc" by ImageNet DET's, "coco" by COCO's.
    """

    test: DetectionDataset
    resizer: Resizer
    images: int
    train: DetectionDataset | None = None
    train_scales: Sequence[int] = ()
    augment: Sequence[Any] = ()
    group_aspects: bool = True
    test_images: int = 1
    workers: int = 2
    method: Rule = "area"

    @property
    def train_resizers(self) -> list[Resizer]:
        """The sizes that training images are drawn from."""
        return [self.resizer.at(short) for short in self.train_scales] or [self.resizer]

    def __post_init__(self) -> None:
        if self.method not in get_args(Rule):
            raise UserError(f"data.method is {self.method!r}: give one of {', '.join(get_args(Rule))}")


@dataclass(frozen=True)
class ClassificationData:
    """Sets of image files and how they are fed.

    Args:
        train, test: the data sets; `train` may be left out where nothing is trained.
        train_view, test_view: crops, see data/transforms.
        images: in one optimizer step, over all processes and accumulated passes.
        test_images: in a batch at test, of crops of the test view; of whole images and ten crops as many fewer as they
            have more pixels.
        workers: loader processes, for each training process.
        skip_unreadable: of the training set, take the next image for one that cannot be read, with a warning that
            names it. At test every image counts.
    """

    test: Images
    train_view: View
    test_view: View
    images: int
    train: Images | None = None
    test_images: int = 128
    workers: int = 2
    skip_unreadable: bool = False

    def training(self, sampler: TrainSampler, device: torch.device) -> Iterable[LabelledImages]:
        """Endless batches in the sampler's order."""
        assert self.train is not None
        pin = device.type == "cuda"
        return image_loader(self.train, self.train_view, sampler, self.workers, pin, self.skip_unreadable)

    def testing(self, order: np.ndarray, device: torch.device) -> Iterable[LabelledImages]:
        """These test images, in the test view."""
        pin = device.type == "cuda"
        return image_eval_loader(self.test, self.test_view, order, self.test_images, self.workers, pin)

    def whole(self, order: np.ndarray, short: int, device: torch.device, pixels: float = 1) -> Iterable[LabelledImages]:
        """These test images, uncropped, with short sides of `short` pixels; `pixels` times as many as in a crop."""
        images = max(1, int(self.test_images / max(1, pixels)))
        return whole_image_loader(self.test, short, order, images, self.workers, device.type == "cuda")

    def statistics(self, order: np.ndarray, device: torch.device) -> Iterable[LabelledImages]:
        """These training images in the test view, `images` at a time: for BN statistics."""
        assert self.train is not None
        pin = device.type == "cuda"
        return image_eval_loader(
            self.train, self.test_view, order, self.images, self.workers, pin, self.skip_unreadable
        )


@dataclass(frozen=True)
class ResidentData:
    """Sets that live on the device (data/classification/resident.py): CIFAR-10.

    Args:
        train, test: the data sets; `train` may be left out where nothing is trained.
        images: in one optimizer step, over all processes and accumulated passes.
        test_images: in a batch at test.
    """

    test: ResidentImages
    images: int
    train: ResidentImages | None = None
    test_images: int = 1000

    def training(self, sampler: TrainSampler, device: torch.device) -> Iterable[LabelledImages]:
        """Endless batches in the sampler's order."""
        assert self.train is not None
        return ResidentLoader(self.train, sampler, device)

    def testing(self, order: np.ndarray, device: torch.device) -> Iterable[LabelledImages]:
        """These test images."""
        return resident_batches(self.test, order, self.test_images, device)

    def statistics(self, order: np.ndarray, device: torch.device) -> Iterable[LabelledImages]:
        """These training images as they are, `images` at a time: for BN statistics."""
        assert self.train is not None
        return resident_batches(self.train, order, self.images, device)


@dataclass(frozen=True)
class LocalizationData:
    """Sets of images with one class each and its boxes, and how they are fed.

    Args:
        train, test: the data sets; `train` may be left out where nothing is trained.
        train_view, test_view: crops with boxes, see data/localization/crops; the second is the "1-crop" test. Both of
            one size, to which anchors and `scales` belong.
        images: in one optimizer step, over all processes and accumulated passes.
        test_images: in a batch at test.
        workers: loader processes, for each training process.
        skip_unreadable: as ClassificationData's; the R-CNN stage never draws from an image that cannot be read.
        scales: short sides for the dense test of a net trained on crops of 224; they follow the crop's size.
        vote: at test a class's best box becomes the mean, weighted by score, of all its boxes with so large an IoU to
            it (localization/inference.vote_for), the RPN's or the R-CNN stage's; None: the best itself.
    """

    test: LocalizationDataset
    train_view: LocalizationCrop
    test_view: CenterLocalizationCrop
    images: int
    train: LocalizationDataset | None = None
    test_images: int = 64
    workers: int = 2
    skip_unreadable: bool = False
    scales: Sequence[int] = (224, 256, 384, 480, 640)
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
                "anchors and data.scales are of one crop; give both the same size"
            )
        if not self.scales or min(self.scales) < 1:
            raise UserError(f"data.scales is {list(self.scales)}: give short sides in pixels, each 1 or more")
        if self.vote is not None and not 0 < self.vote <= 1:
            raise UserError(f"data.vote is {self.vote}: give an IoU above 0 and up to 1, or None")

    def training(self, sampler: TrainSampler, device: torch.device) -> Iterable[LocalizationBatch]:
        """Endless batches in the sampler's order."""
        assert self.train is not None
        pin = device.type == "cuda"
        return localization_loader(self.train, self.train_view, sampler, self.workers, pin, self.skip_unreadable)

    def one_crop(self, order: np.ndarray, device: torch.device) -> Iterator[list[MappedBatch]]:
        """These test images, in the test view alone."""
        return self._look_at(self.views_of("1-crop"), order, device)

    def dense(
        self, order: np.ndarray, device: torch.device, scales: Sequence[int] | None = None
    ) -> Iterator[list[MappedBatch]]:
        """These test images, uncropped, at several scales; None: the config's."""
        return self._look_at(self.views_of("dense", scales), order, device)

    def views_of(
        self, views: Literal["1-crop", "dense"], scales: Sequence[int] | None = None
    ) -> list[LocalizationView]:
        """The test view alone, or whole images at several scales; None: the config's."""
        if views == "1-crop":
            return [self.test_view]
        shorts = [max(1, round(short * self.test_view.size / 224)) for short in scales or self.scales]
        return [WholeLocalizationImage(short) for short in shorts]

    def _look_at(
        self, views: Sequence[LocalizationView], order: np.ndarray, device: torch.device
    ) -> Iterator[list[MappedBatch]]:
        pin = device.type == "cuda"
        return localization_views_loader(self.test, views, order, self.test_images, self.workers, pin)


Data = ClassificationData | ResidentData
