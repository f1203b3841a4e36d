"""Small nets, and weight files as Caffe2, detectron2 and resdet write them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.paths import SHARED
from resdet.nets.resnet import ResNet

GOLDEN = SHARED / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden files lie outside of the repository")
MSRA_MEAN = [123.675, 116.28, 103.53]
REFUSED = "asks to run"
CAFFE2_BN = ("gamma", "beta", "running_mean", "running_var")
BN = ("weight", "bias", "running_mean", "running_var")


class Detector(nn.Module):
    """Modules with the parameter names of a Faster R-CNN on a ResNet, without forward."""

    def __init__(self, net: ResNet, num_classes: int = 5, num_anchors: int = 15) -> None:
        super().__init__()
        self.net = net
        c, c5 = net.trunk_channels, net.channels
        self.rpn = nn.ModuleDict(
            {
                "conv": nn.Conv2d(c, c, 3, padding=1),
                "objectness": nn.Conv2d(c, num_anchors, 1),
                "deltas": nn.Conv2d(c, 4 * num_anchors, 1),
            }
        )
        self.head = nn.ModuleDict(
            {"scores": nn.Linear(c5, num_classes + 1), "deltas": nn.Linear(c5, 4 * num_classes)},
        )


def small_detector(**options: int) -> Detector:
    """A Detector on ResNet-50 of 1/8 width."""
    return Detector(ResNet(50, num_classes=None, width=1 / 8), **options)


def small_resnet(**options: object) -> ResNet:
    """A ResNet-18 of 1/16 width for seven classes."""
    return ResNet(18, num_classes=7, width=1 / 16, **options)  # type: ignore[arg-type]


def own_checkpoint(module: nn.Module, path: Path, **more: object) -> Path:
    """Write a checkpoint in the format of resdet. Returns `path`."""
    torch.save({"format": "resdet", "model": module.state_dict(), **more}, path)
    return path


def caffe2_blobs(channels: int = 4) -> dict[str, np.ndarray]:
    """Random weights of conv1 and one block of an MSRA ResNet."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)

    blobs = {"conv1_w": draw(channels, 3, 7, 7)}
    for layer in ("branch2a", "branch2b", "branch2c", "branch1"):
        blobs[f"res2_0_{layer}_w"] = draw(channels, channels, 1, 1)
    for layer in ("res_conv1", *(f"res2_0_{b}" for b in ("branch2a", "branch2b", "branch2c", "branch1"))):
        for tensor in CAFFE2_BN:
            blobs[f"{layer}_bn_{tensor}"] = draw(channels)
    return blobs


def dump(data: object, path: Path, protocol: int = 2) -> Path:
    """Pickle `data`. Returns `path`."""
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    return path


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    """Check that two state dicts have equal names and tensors."""
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert different == []


def calibrated(net: nn.Module) -> nn.Module:
    """Set BN statistics from a random batch: lost statistics would show, and deep nets do not overflow."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        net.train()(torch.randn(4, 3, 96, 96))
    return net.eval()


class Call:
    """An object whose unpickling calls `function`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call
