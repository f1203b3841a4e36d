"""Appendix C at full size. Takes minutes: run with ``pytest -m heavy``."""

from __future__ import annotations

import time

import pytest
import torch

from resdet.engine.config import build, build_call
from resdet.engine.memory import forget_peak, peak_gib
from resdet.engine.optimizer import build_sgd
from resdet.engine.precision import fast_precision, precision_context
from resdet.nets.ghost_bn import use_ghost_batches
from resdet.recipes.sections import load_config
from resdet.structures import LocalizationBatch

pytestmark = pytest.mark.heavy
CPU = torch.device("cpu")
CLASSES, IMAGES, A_PASS = 1000, 256, 32


def make_batch(first: int, count: int) -> LocalizationBatch:
    """Images of noise of 224x224 with a brighter box, each of a different class."""
    random = torch.Generator().manual_seed(first)
    images = torch.randint(0, 150, (count, 3, 224, 224), dtype=torch.uint8, generator=random)
    corner = torch.randint(0, 90, (count, 1, 2), generator=random)
    boxes = torch.cat([corner, corner + torch.randint(60, 130, (count, 1, 2), generator=random)], -1)
    for image, (x1, y1, x2, y2) in zip(images, boxes[:, 0].tolist(), strict=True):
        image[:, y1:y2, x1:x2] += 100
    seeds, mask = torch.arange(first, first + count), torch.ones(count, 1, dtype=torch.bool)
    images = images.contiguous(memory_format=torch.channels_last)
    return LocalizationBatch(images, seeds * 7 % CLASSES, boxes.float(), mask, seeds, [str(i) for i in seeds.tolist()])


def train_a_step(images: int, a_pass: int) -> tuple[torch.Tensor, float, float]:
    """One step of configs/loc_r101.py in images / a_pass passes: their losses, peak memory in GiB, seconds."""
    torch.manual_seed(0)
    forget_peak(CPU)
    cfg, passes = load_config("loc_r101"), images // a_pass
    model = build(cfg.model).train()
    use_ghost_batches(model.net, min(cfg.ghost_batch, a_pass))
    optimizer = build_call(build_sgd, cfg.optimizer, model=model, images=images)
    started, losses = time.perf_counter(), []
    for number in range(passes):
        with precision_context(fast_precision(CPU), CPU):
            total = torch.stack(list(model(make_batch(number * a_pass, a_pass)).values())).sum() / passes
        total.backward()
        losses.append(total.detach() * passes)
    optimizer.step()
    assert all(p.isfinite().all() for p in model.parameters())
    return torch.stack(losses), peak_gib(CPU), time.perf_counter() - started


def test_a_step_of_256_images_on_resnet_101_and_1000_classes_takes_less_than_20_gib(
    capsys: pytest.CaptureFixture[str],
) -> None:
    losses, peak, seconds = train_a_step(IMAGES, A_PASS)
    with capsys.disabled():
        print(f"\n{len(losses)} passes of {A_PASS}: losses {losses.tolist()}, peak {peak:.2f} GiB, {seconds:.0f} s")
    assert losses.isfinite().all()
    assert losses.min() > 0
    assert peak < 20
