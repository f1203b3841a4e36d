"""A step's operators and the bytes that they read and write do not grow unseen.

On a GPU an operator is at least one launch, and small steps wait for launches; what is not convolution takes the time
of its bytes. A step that needs fewer may have its figures lowered here. One that needs over 2 % more fails: then look
at what was added, and raise a figure only if it is worth the time on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from helpers.operators import work_of
from resdet.benchmarks.detector_stages import random_batch, random_detector
from resdet.classification.classifier import Classifier
from resdet.detection.inference import Inference, InferenceSettings
from resdet.detection.refinement import Refinement
from resdet.engine.config import build
from resdet.engine.precision import precision_context
from resdet.nets.blocks import fold_for_inference
from resdet.recipes.sections import load_config
from resdet.structures import LabelledImages, Pyramid

CPU = torch.device("cpu")
SIZE = (192, 320)
KERNELS = {"voc07_r50": 1178, "coco_r101": 1671, "cifar10_r110": 1237, "imagenet_r50": 548, "Appendix B": 3317}
BYTES = {
    "voc07_r50": 277_499_184, "coco_r101": 336_735_752, "cifar10_r110": 203_951_112, "imagenet_r50": 542_860_628,
    "Appendix B": 289_578_390,
}  # fmt: skip


def detector_step(config: str) -> Callable[[], object]:
    """Forward and backward of two images with 16 regions each, in bf16."""
    cfg = load_config(config, {"model.net.width": 0.125})
    model, batch = random_detector(cfg, 16, "train").train(), random_batch(cfg.model.num_classes, SIZE, 2)

    def step() -> None:
        with precision_context("bf16", CPU):
            losses = model(batch)
        torch.stack([loss.float() for loss in losses.values()]).sum().backward()
        model.zero_grad()

    return step


def classifier_step(config: str, side: int) -> Callable[[], object]:
    """Forward and backward of four images, in bf16."""
    net: nn.Module = build(load_config(config).net)
    model = Classifier(net).train()  # type: ignore[arg-type]
    labels = torch.zeros(4, dtype=torch.int64)
    images = LabelledImages(torch.zeros(4, 3, side, side, dtype=torch.uint8), labels, labels, ["a"] * 4)

    def step() -> None:
        with precision_context("bf16", CPU):
            loss = model(images)["loss_class"]
        loss.backward()
        model.zero_grad()

    return step


def improved_test() -> Callable[[], object]:
    """Two scales, flipping and refinement of one image by R101 with context."""
    cfg = load_config("coco_r101_context", {"model.net.width": 0.125})
    model = random_detector(cfg, 16).eval()
    fold_for_inference(model, torch.bfloat16)
    inference = Inference([model], InferenceSettings(refinement=Refinement(), scales=(96, 192), flip=True), 192)
    images = Pyramid([random_batch(80, (side, side * 3 // 2), 1) for side in (96, 192)])

    def test() -> None:
        with precision_context("bf16", CPU):
            inference.detect(images)

    return test


@pytest.mark.parametrize("name", KERNELS)
def test_a_step_has_no_more_operators_and_bytes_than_it_had(name: str) -> None:
    torch.manual_seed(0)
    if name == "Appendix B":
        step = improved_test()
    elif name.startswith(("cifar", "imagenet")):
        step = classifier_step(name, 32)
    else:
        step = detector_step(name)
    work = work_of(step)
    for counted, most in ((work.kernels, KERNELS[name]), (work.bytes, BYTES[name])):
        assert counted.total() <= 1.02 * most, f"{counted.total()}: {dict(counted.most_common(20))}"
