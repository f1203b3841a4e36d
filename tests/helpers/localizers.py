"""A small per-class RPN with random weights, crops for it, and its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resdet.engine.checkpoint import save_checkpoint
from resdet.engine.config import build
from resdet.localization.class_rpn import ClassRPN, ClassRPNSettings
from resdet.localization.crops import MappedCrops
from resdet.localization.inference import CandidateModel, find_candidates, top_proposals, vote_for
from resdet.nets.resnet import ResNet
from resdet.recipes.sections import load_config
from resdet.structures import LocalizationBatch

SCALES = (20.0, 40.0, 80.0)

COLOURS = torch.tensor([[230, 60, 40], [40, 90, 230]], dtype=torch.uint8)

TWO_CLASSES = {"classes": ["n01", "n02"]}


class Trained(NamedTuple):
    """A trained model."""

    config: Path
    checkpoint: Path


def make_class_rpn(classes: int = 5, width: float = 0.125, **settings: Any) -> ClassRPN:
    """A per-class RPN on ResNet-18, with random weights."""
    torch.manual_seed(0)
    model = ClassRPN(ResNet(18, None, width), classes, ClassRPNSettings(**{"scales": SCALES, **settings}))
    for layer in (model.objectness, model.deltas):
        torch.nn.init.normal_(layer.weight, std=0.05)
        torch.nn.init.normal_(layer.bias, std=0.1)
    return model


def make_localization_batch(N: int = 4, size: int = 80, classes: int = 5, seed: int = 0) -> LocalizationBatch:
    """Noise with one or two rectangles of the class's colour; in every other crop the second slot is padding."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(100, 150, (N, 3, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.arange(N) % classes
    corner = torch.rand(N, 2, 2, generator=generator) * size * 0.4
    side = size * (0.3 + 0.3 * torch.rand(N, 2, 2, generator=generator))
    boxes = torch.cat([corner, corner + side], -1).round()
    mask = torch.tensor([[True, n % 2 == 0] for n in range(N)])
    for n in range(N):
        x1, y1, x2, y2 = boxes[n, 0].long().tolist()
        images[n, :, y1:y2, x1:x2] = COLOURS[labels[n] % 2][:, None, None]
    return LocalizationBatch(images, labels, boxes, mask, torch.arange(N) + 7, [str(n) for n in range(N)])


def total_loss(losses: dict[str, Tensor]) -> Tensor:
    """Sum of the losses."""
    return torch.stack(list(losses.values())).sum()


def best_boxes(
    model: CandidateModel, crops: list[MappedCrops], labels: Tensor, vote_iou: float | None = None
) -> tuple[Tensor, Tensor]:
    """The best box of each class over all crops [N, L, 4], after voting if asked for, and its probability [N, L]."""
    found = find_candidates(model, crops, labels)
    boxes, scores = top_proposals(found, count=1, nms_iou=None).best(crops[0].image_sizes)
    return boxes if vote_iou is None else vote_for(boxes, found.boxes, found.logits.sigmoid(), vote_iou), scores


def random_localizer(config: Path, path: Path, seed: int = 0) -> Path:
    """Write a checkpoint of the config's localizer with random weights. Returns `path`."""
    torch.manual_seed(seed)
    model = build(load_config(config).model)
    save_checkpoint(path, {"model": model.state_dict(), **TWO_CLASSES})
    return path


RCNN_SECTION = """
from resdet.localization.rcnn import RCNNSettings

rcnn = dict(
    settings=dict(type=RCNNSettings, size=32, positive_iou=0.3), images=8, optimizer=dict(lr=0.05),
    proposals=dict(count=20, views="dense", flip=True), schedule=dict(type=MultiStep, steps=6, milestones=(4,)),
    combine="replace",
)
"""
RCNN_PROPOSALS = 20  # per image, as in RCNN_SECTION
RCNN_ROW = "RPN + R-CNN, dense with flips, true class"  # name of the row in the table of eval-loc
