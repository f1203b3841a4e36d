"""A training step synchronises with the device only in NMS, whose number of boxes depends on the data.

Without a GPU, the operators that would synchronise are counted; with one, torch's sync debug mode is used.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from helpers.host_sync import HostSyncs
from resdet.boxes.roi_align import roi_align
from resdet.classification.classifier import Classifier
from resdet.data.detection.loading import collate_detection
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.detection.rpn import RPNSettings
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.run import Run
from resdet.engine.schedule import MultiStep
from resdet.nets.resnet import ResNet
from resdet.structures import Batch, LabelledImages, Sample


def detector(pooling: str) -> FasterRCNN:
    rpn = RPNSettings(hidden=8, scales=(16, 32), train_post_nms=50)
    return FasterRCNN(ResNet(18, None, width=0.125), 3, rpn, HeadSettings(pooling=pooling), frozen_stages=0)


def batch() -> Batch:
    """Two images of different sizes, one with two objects and a crowd, the other with none."""

    def sample(height: int, width: int, boxes: list[list[int]]) -> Sample:
        flags = torch.zeros(3, dtype=torch.bool)[: len(boxes)]
        crowd = flags.clone()
        crowd[2:] = True
        labels = torch.arange(len(boxes))
        pixels = torch.zeros(height, width, 3, dtype=torch.uint8)
        return Sample(pixels, torch.tensor(boxes).float().reshape(-1, 4), labels, flags, crowd, "image")

    full, empty = sample(96, 128, [[5, 5, 60, 60], [20, 30, 90, 90], [50, 5, 120, 40]]), sample(80, 64, [])
    return collate_detection([(full, (96, 128), 1), (empty, (160, 128), 2)])


def count_waits(model: nn.Module, batches: list[Any], folder: Path) -> Counter[str]:
    """Count synchronising operators over one step per batch, with one log line at the end."""
    sgd = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    steps = len(batches)
    run = Run(folder, torch.device("cpu"), "bf16")
    loop = TrainLoop(model, sgd, MultiStep(steps), LoopSettings(log_every=steps, clip=10.0), run)
    with HostSyncs() as waits:
        loop.train(batches)
    return waits.count


def test_the_counter_of_host_synchronisations_counts() -> None:
    x = torch.arange(4)
    with HostSyncs() as waits:
        x[x > 1]
        x[x.clone()]
        torch.tensor([1, 2]).sum().item()
    assert waits.count == {"index": 1, "lift_fresh": 1, "_local_scalar_dense": 1}


def test_the_detectors_step_synchronises_only_in_nms(tmp_path: Path) -> None:
    count = count_waits(detector("pool"), [batch()] * 3, tmp_path)
    assert count == {
        "nms": 3 * 2,
        "nonzero": 3,
    }  # nonzero: the log of steps 1, 2 and the last looks for NaN


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_roi_align_reads_no_value_from_a_gpu(dtype: torch.dtype) -> None:
    with (
        FakeTensorMode(),
        HostSyncs() as waits,
    ):  # tensors "on a GPU" without values; a CPU has another form of RoIAlign
        features = torch.empty(2, 8, 6, 9, dtype=dtype, device="cuda")
        regions, cells = torch.empty(2, 5, 4, device="cuda"), torch.empty(2, 2, dtype=torch.int64, device="cuda")
        pooled = roi_align(features, regions, cells=cells)
    assert (pooled.shape, pooled.dtype, pooled.device.type) == ((10, 8, 14, 14), dtype, "cuda")
    assert not waits.count


def test_the_classifiers_step_never_synchronises(tmp_path: Path) -> None:
    labels = torch.zeros(4, dtype=torch.int64)
    images = LabelledImages(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), labels, labels, ["a"] * 4)
    assert count_waits(Classifier(ResNet(18, 2, width=0.125)), [images] * 3, tmp_path) == {"nonzero": 3}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("pooling", ["align", "pool"])
def test_on_a_gpu_only_nms_synchronises(pooling: str) -> None:
    model, host = detector(pooling).cuda(), batch().pin_memory()
    model(host.to("cuda"))  # the anchors are made once a shape
    torch.cuda.set_sync_debug_mode("error")
    try:
        images = host.to("cuda")
        features = model.trunk(images)
        outputs = model.rpn(features)
        losses = model.rpn.losses(outputs, features, images)
        torch.cuda.set_sync_debug_mode("default")
        proposals = model.rpn.propose(outputs, features)
        torch.cuda.set_sync_debug_mode("error")
        regions = model.head.sample(proposals.boxes, proposals.valid, images)
        logits, deltas = model.head(model.embed(features, regions.boxes))
        losses |= model.head.losses(logits, deltas, regions)
        torch.stack(list(losses.values())).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
