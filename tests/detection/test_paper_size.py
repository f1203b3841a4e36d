"""The paper's detectors at full size. Takes minutes: run with ``pytest -m heavy``."""

import sys
import time

import pytest
import torch

from resdet.benchmarks.detector_stages import random_detector
from resdet.boxes.geometry import pairwise_iou
from resdet.data.detection.loading import collate_detection, collate_pyramid, resize_sample
from resdet.data.transforms import Resizer
from resdet.detection.inference import Inference, InferenceSettings
from resdet.engine.config import build_call
from resdet.engine.memory import forget_peak, peak_gib
from resdet.engine.precision import DTYPES, fast_precision, precision_context
from resdet.nets.blocks import fold_for_inference
from resdet.recipes.sections import load_config
from resdet.structures import Batch, Sample

pytestmark = pytest.mark.heavy
CPU = torch.device("cpu")


def make_sample() -> Sample:
    """An image of 600x1000 with three coloured boxes of three classes on noise."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(60, 200, (600, 1000, 3), dtype=torch.uint8, generator=random)
    boxes = torch.tensor([[80.0, 100, 330, 380], [420, 60, 600, 520], [660, 250, 960, 560]])
    for (x1, y1, x2, y2), colour in zip(
        boxes.int().tolist(), ([250, 40, 20], [20, 220, 60], [30, 60, 250]), strict=True
    ):
        pixels[y1:y2, x1:x2] = torch.tensor(colour, dtype=torch.uint8)
    none = torch.zeros(3, dtype=torch.bool)
    return Sample(pixels, boxes, torch.tensor([2, 7, 14]), none, none, "picture")


def make_picture() -> Batch:
    return collate_detection([(make_sample(), (600, 1000), 1)])


@pytest.mark.parametrize(("config", "steps"), [("voc07_r50", 120), ("voc07_r101", 80), ("voc07_vgg16", 120)])
def test_detector_overfits_one_image_at_600x1000_within_12_gib(config, steps, capsys):
    torch.manual_seed(0)
    forget_peak(CPU)
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
        found = Inference([detector.eval()]).detect(batch)[0].above(0.5)
    peak = peak_gib(CPU)
    with capsys.disabled():
        print(
            f"\n{config}: loss {losses[0]:.2f} -> {losses[19]:.2f} (step 20) -> {losses[-1]:.3f}, peak {peak:.2f} GiB"
        )
        print(found, file=sys.stdout)
    assert peak < 12
    assert sorted(found.labels.tolist()) == [2, 7, 14]
    order = found.labels.argsort()
    assert pairwise_iou(found.boxes[order], batch.boxes[0]).diagonal().min() > 0.5


def test_resnet_101_detects_at_five_scales_with_all_of_appendix_b_within_12_gib(capsys):
    torch.manual_seed(0)
    forget_peak(CPU)
    cfg, precision = load_config("coco_r101_multiscale"), fast_precision(CPU)
    testing = build_call(InferenceSettings, cfg.testing)
    detector = fold_for_inference(random_detector(cfg, proposals=300).eval(), DTYPES[precision])
    images = collate_pyramid([[resize_sample(make_sample(), Resizer(600, 1000).at(short)) for short in testing.scales]])
    assert [tuple(level.images.shape[2:]) for level in images.levels][-1] == (1000, 1667)
    started = time.perf_counter()
    with precision_context(precision, CPU):
        found = Inference([detector], testing).detect(images)[0]
    with capsys.disabled():
        print(f"\n{peak_gib(CPU):.2f} GiB, {time.perf_counter() - started:.1f} s, {len(found)} detections")
    assert found.boxes.isfinite().all()
    assert peak_gib(CPU) < 12
