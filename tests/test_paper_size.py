"""The paper's detectors at the paper's size: minutes each, so only on request, ``pytest -m heavy``."""

import resource
import sys

import pytest
import torch

from resdet.benchmarks.detector_stages import random_detector
from resdet.boxes.geometry import pairwise_iou
from resdet.data.loading import collate_detection
from resdet.engine.config import load_config
from resdet.engine.precision import fast_precision, precision_context
from resdet.structures import Batch, Sample

pytestmark = pytest.mark.heavy
CPU = torch.device("cpu")


def make_picture() -> Batch:
    """600x1000, three coloured boxes of three classes on noise."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(60, 200, (600, 1000, 3), dtype=torch.uint8, generator=random)
    boxes = torch.tensor([[80.0, 100, 330, 380], [420, 60, 600, 520], [660, 250, 960, 560]])
    for (x1, y1, x2, y2), colour in zip(
        boxes.int().tolist(), ([250, 40, 20], [20, 220, 60], [30, 60, 250]), strict=True
    ):
        pixels[y1:y2, x1:x2] = torch.tensor(colour, dtype=torch.uint8)
    none = torch.zeros(3, dtype=torch.bool)
    sample = Sample(pixels, boxes, torch.tensor([2, 7, 14]), none, none, "picture")
    return collate_detection([(sample, (600, 1000), 1)])


@pytest.mark.parametrize(("config", "steps"), [("voc07_r50", 120), ("voc07_r101", 80), ("voc07_vgg16", 120)])
def test_detector_overfits_one_image_at_600x1000_within_12_gib(config, steps, capsys):
    torch.manual_seed(0)
    detector = random_detector(load_config(config), proposals=128, mode="train").train()
    detector.to(memory_format=torch.channels_last)
    batch = make_picture()
    optimizer = torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], 0.02, momentum=0.9)
    losses = []
    for step in range(steps):
        batch.seeds = torch.tensor([step])
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        with precision_context(fast_precision(CPU), CPU):
            total = torch.stack(list(detector(batch).values())).sum()
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 10)
        optimizer.step()
        losses.append(total.item())
        assert total.isfinite(), f"step {step}"
    with precision_context(fast_precision(CPU), CPU):
        found = detector.eval().detect(batch)[0].above(0.5)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with capsys.disabled():
        print(
            f"\n{config}: loss {losses[0]:.2f} -> {losses[19]:.2f} (step 20) -> {losses[-1]:.3f}, peak {peak:.2f} GiB"
        )
        print(found, file=sys.stdout)
    assert peak < 12
    assert sorted(found.labels.tolist()) == [2, 7, 14]
    order = found.labels.argsort()
    assert pairwise_iou(found.boxes[order], batch.boxes[0]).diagonal().min() > 0.5
