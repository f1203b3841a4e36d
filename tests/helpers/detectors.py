"""A small Faster R-CNN with random weights, and images for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from resdet.data.sampling import image_seeds
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.detection.rpn import RPNSettings
from resdet.engine.checkpoint import save_checkpoint
from resdet.engine.config import build
from resdet.nets.frozen_bn import FrozenBatchNorm
from resdet.nets.resnet import ResNet
from resdet.recipes.sections import load_config
from resdet.structures import Sample


def make_detector(depth: int = 50, stride_on: str = "1x1", pooling: str = "align", **head) -> FasterRCNN:
    """A Faster R-CNN on a ResNet of 1/8 width for four classes, with random BN statistics and output layers."""
    torch.manual_seed(0)
    rpn = RPNSettings(hidden=32, scales=(16, 32, 64), test_post_nms=50)
    settings = HeadSettings(pooling=pooling, regions=32, score_floor=0.0, **head)
    detector = FasterRCNN(ResNet(depth, None, width=0.125, stride_on=stride_on), 4, rpn, settings, frozen_stages=0)
    for layer in detector.modules():
        if isinstance(layer, FrozenBatchNorm):  # statistics other than 0 and 1, so that padding matters
            layer.weight.uniform_(0.2, 0.5)
            layer.bias.normal_(0, 0.2)
    for layer in (detector.rpn.objectness, detector.rpn.deltas, detector.head.scores, detector.head.deltas):
        torch.nn.init.normal_(layer.weight, std=0.2)
    return detector


def make_sample(height: int, width: int, boxes=(), crowd=(), seed: int = 0):
    """(sample with random pixels, its size, its seed), as the collate function takes it."""
    pixels = torch.randint(0, 255, (height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    flags = torch.tensor(crowd or [False] * len(boxes), dtype=torch.bool)
    labels = torch.arange(len(boxes)) % 4
    sample = Sample(pixels, boxes, labels, torch.zeros(len(boxes), dtype=torch.bool), flags, f"image{seed}")
    return sample, (height, width), int(image_seeds(0, 0, np.array([seed]))[0])


def random_detector(config: Path, path: Path) -> Path:
    """Write a checkpoint of the config's detector of apples and pears with random weights. Returns `path`."""
    torch.manual_seed(0)
    model = build(load_config(config).model)
    save_checkpoint(path, {"model": model.state_dict(), "classes": ["apple", "pear"]})
    return path
