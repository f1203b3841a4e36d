"""A localizer that finds coloured objects without training, and inputs of the R-CNN stage made with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from helpers.coloured_photos import COLOURS
from resdet.boxes.geometry import clip_boxes
from resdet.data.localization.crops import ShortSideWithBoxes
from resdet.data.localization.dataset import LocalizationDataset, LocalizedImage
from resdet.data.localization.regions import ProposalCache, RegionSampler
from resdet.engine.run import Run
from resdet.localization.class_rpn import ClassRPN, ClassRPNSettings
from resdet.localization.crops import MappedCrops
from resdet.localization.rcnn import LocalizationRCNN, RCNNSettings
from resdet.nets.resnet import ResNet
from resdet.recipes.localization.rcnn_proposals import CacheSettings, ProposalSpec, cache_proposals

SIZE = 64  # of the crops
DENSE = [ShortSideWithBoxes(64), ShortSideWithBoxes(96)]


class Counted(LocalizationDataset):
    """A dataset that records which images were decoded."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.decoded: list[int] = []

    def __getitem__(self, index: int) -> LocalizedImage:
        self.decoded.append(index)
        return super().__getitem__(index)


class ColourRPN(nn.Module):
    """A localizer without training: 64 boxes near the pixels of the class's colour, with random scores."""

    def __init__(self, spread: float = 0.16, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("shifts", torch.randn(64, 4, generator=generator) * spread)
        self.register_buffer("logits", torch.randn(64, generator=generator))

    def candidates(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        boxes = torch.stack([
            torch.stack([self._near(image, COLOURS[label]) for label in row])
            for image, row in zip(images, labels.tolist(), strict=True)
        ])  # fmt: skip
        return self.logits.expand(*labels.shape, -1), clip_boxes(boxes, torch.tensor(images.shape[-2:]))

    def _near(self, image: Tensor, colour: tuple[int, int, int]) -> Tensor:
        """Boxes [64, 4] around the pixels of this colour, or in the image's corner if there are none."""
        coloured = ((image - torch.tensor(colour)[:, None, None]).abs() < 60).all(0)
        if not coloured.any():
            return torch.tensor([0.0, 0, 12, 12]) + self.shifts.abs() * 12
        (top, bottom), (left, right) = ((c.min(), c.max() + 1) for c in coloured.nonzero().T)
        box = torch.stack([left, top, right, bottom])
        return box + self.shifts * (box[2:] - box[:2]).repeat(2)


def make_rpn(seed: int = 0) -> ClassRPN:
    """A small per-class RPN for two classes, with random weights."""
    torch.manual_seed(seed)
    net = ResNet(18, None, width=0.125)
    model = ClassRPN(net, 2, ClassRPNSettings(scales=(24, 48), frozen_bn=True))
    for layer in (model.objectness, model.deltas):
        nn.init.normal_(layer.weight, std=0.1)
    return model.eval()


def make_rcnn(seed: int = 0, **settings: Any) -> LocalizationRCNN:
    """A small R-CNN stage for two classes, with random weights."""
    torch.manual_seed(seed)
    model = LocalizationRCNN(ResNet(18, None, width=0.125), 2, RCNNSettings(size=SIZE, **settings))
    for layer in (model.scores, model.deltas):
        nn.init.normal_(layer.weight, std=0.05)
    return model


def make_cache(root: Path, run: Run, name: str = "proposals", **options: Any) -> tuple[Counted, ProposalCache]:
    """(training set, cache of 30 proposals per image) of a ColourRPN."""
    train = Counted(root, "train")
    spec, settings = ProposalSpec(DENSE, count=30, nms_iou=None), CacheSettings(workers=0, **options)
    cache = cache_proposals([ColourRPN()], train, spec, run.work_dir / name, run, settings)
    return train, cache


def crops_of(item: LocalizedImage, mirrored: bool) -> list[MappedCrops]:
    """The dense crops of one image, followed by their mirror images if `mirrored`."""
    crops = []
    for transform in DENSE:
        pixels = torch.from_numpy(transform(item).image).permute(2, 0, 1)[None]
        crops.append(MappedCrops.of(pixels, torch.tensor([item.size])))
    return [*crops, *(part.mirrored() for part in crops)] if mirrored else crops


def make_sampler(
    root: Path, run: Run, regions: int = 32, **options: Any
) -> tuple[Counted, ProposalCache, RegionSampler]:
    """(training set, cache, sampler of `regions` regions per step)."""
    train, cache = make_cache(root, run)
    return train, cache, RegionSampler(train, cache, regions, run.seed, RCNNSettings(size=SIZE), **options)


def truth_of(train: LocalizationDataset, index: int) -> Tensor:
    """Ground-truth boxes [n, 4] of a training image."""
    return torch.from_numpy(train.boxes_of(index)).float()
