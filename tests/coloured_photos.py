"""Photos whose objects are told by their colour, and a localizer that finds them without training.

The R-CNN stage's tests learn and are tested on its proposals.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from resdet.boxes.geometry import clip_boxes
from resdet.data.localization.crops import WholeLocalizationImage
from resdet.data.localization.dataset import LocalizationDataset, LocalizedImage
from resdet.data.localization.regions import RegionSampler
from resdet.engine.run import Run
from resdet.localization.class_rpn import ClassRPN, ClassRPNSettings
from resdet.localization.rcnn import LocalizationRCNN, RCNNSettings
from resdet.localization.views import View
from resdet.nets.resnet import ResNet
from resdet.recipes.localization.rcnn_proposals import ProposalCache, cache_proposals
from test_localization_data import FISH, SHARK, VAL, Layout

COLOURS = ((220, 40, 40), (40, 60, 220))  # RGB, of each class's objects; what is around them is gray
TRAIN, TEST = 10, 5  # images
SIZE = 64  # of the crops
DENSE = [WholeLocalizationImage(64), WholeLocalizationImage(96)]


def write_photos(root: Path) -> Path:
    """Coloured rectangles, a fish red and a shark blue, on gray noise; images lie or stand. Train's second has two."""
    layout, random = Layout(root), np.random.default_rng(0)
    for i in range(TRAIN + TEST):
        kind = i % 2
        name = (FISH, SHARK)[kind]
        width, height = (90, 70) if i % 3 else (70, 90)
        pixels = random.integers(90, 170, (height, width, 1)).repeat(3, 2).astype(np.uint8)
        boxes = []
        for left in (4, 46) if i == 1 else (int(random.integers(5, 25)),):
            top, right = int(random.integers(5, 30)), left + int(random.integers(30, 40))
            boxes.append((name, left, top, right, top + int(random.integers(25, 35))))
            pixels[top : boxes[-1][4] + 1, left : right + 1] = COLOURS[kind]
        part, stem = ("train", f"{name}/{name}_{i}") if i < TRAIN else ("val", f"{VAL}{i - TRAIN}")
        layout.image(part, stem, boxes, (width, height))
        cv2.imwrite(str(root / f"ILSVRC/Data/CLS-LOC/{part}/{stem}.JPEG"), pixels[..., ::-1])
    return layout.close()


def make_run(folder: Path, resume: str | None = None) -> Run:
    return Run(folder, torch.device("cpu"), "fp32", seed=5, resume=resume)


class Counted(LocalizationDataset):
    """Remembers which images were decoded."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.decoded: list[int] = []

    def __getitem__(self, index: int) -> LocalizedImage:
        self.decoded.append(index)
        return super().__getitem__(index)


class ColourRPN(nn.Module):
    """A localizer that needs no training: sixty-four boxes near the pixels of the class's colour, ranked by chance."""

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
        """[64, 4] around what has the colour, or in the image's corner if nothing has."""
        coloured = ((image - torch.tensor(colour)[:, None, None]).abs() < 60).all(0)
        if not coloured.any():
            return torch.tensor([0.0, 0, 12, 12]) + self.shifts.abs() * 12
        (top, bottom), (left, right) = ((c.min(), c.max() + 1) for c in coloured.nonzero().T)
        box = torch.stack([left, top, right, bottom])
        return box + self.shifts * (box[2:] - box[:2]).repeat(2)


def make_rpn(seed: int = 0) -> ClassRPN:
    torch.manual_seed(seed)
    net = ResNet(18, None, width=0.125)
    model = ClassRPN(net, 2, ClassRPNSettings(scales=(24, 48), frozen_bn=True))
    for layer in (model.objectness, model.deltas):
        nn.init.normal_(layer.weight, std=0.1)
    return model.eval()


def make_rcnn(seed: int = 0, **settings: Any) -> LocalizationRCNN:
    torch.manual_seed(seed)
    model = LocalizationRCNN(ResNet(18, None, width=0.125), 2, RCNNSettings(size=SIZE, **settings))
    for layer in (model.scores, model.deltas):
        nn.init.normal_(layer.weight, std=0.05)
    return model


def make_cache(root: Path, run: Run, name: str = "proposals", **options: Any) -> tuple[Counted, ProposalCache]:
    train = Counted(root, "train")
    cache = cache_proposals(
        ColourRPN(), train, DENSE, run.work_dir / name, run, count=30, nms_iou=None, workers=0, **options
    )
    return train, cache


def views_of(item: LocalizedImage, mirrored: bool) -> list[View]:
    """The dense views of one image."""
    views = []
    for view in DENSE:
        seen = view(item)
        images = torch.from_numpy(seen.image).permute(2, 0, 1)[None]
        views.append(View.of(images, torch.tensor([item.size])))
    return [*views, *(view.mirrored() for view in views)] if mirrored else views


def make_sampler(
    root: Path, run: Run, regions: int = 32, **options: Any
) -> tuple[Counted, ProposalCache, RegionSampler]:
    train, cache = make_cache(root, run)
    return train, cache, RegionSampler(train, cache, regions, run.seed, RCNNSettings(size=SIZE), **options)


def truth_of(train: LocalizationDataset, index: int) -> Tensor:
    return torch.from_numpy(train.boxes_of(index)).float()
