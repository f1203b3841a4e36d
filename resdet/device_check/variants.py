"""Trainings in other ways: compiled, as one process of a distributed run, with the data on the device."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np

from resdet.device_check.check import Found, Setting, Skipped
from resdet.device_check.commands import TORCHRUN
from resdet.device_check.trainings import train

BATCH, PIXELS = 10_000, 3 * 32 * 32  # images per file of CIFAR-10


def check_compiled(setting: Setting, found: Found) -> None:
    """A classifier's training with validation, by torch.compile in two modes."""
    if not setting.on_gpu:
        raise Skipped("torch.compile is for GPUs")

    def one(mode: str) -> None:
        started = time.perf_counter()
        train(setting, "shapes_cls", f"compile_{mode}", "loop.validate_every=6", "--compile", mode, steps=24)
        found.figures[f"--compile {mode}"] = f"{time.perf_counter() - started:.0f} s"

    parts = [partial(found.try_part, mode, partial(one, mode)) for mode in ("default", "reduce-overhead")]
    setting.commands.all(*parts)


def check_processes(setting: Setting, found: Found) -> None:
    """A training that torchrun starts, as one process: NCCL on a GPU, gloo on a CPU."""
    train(setting, "shapes_cls", "torchrun", start=TORCHRUN)
    found.figures["one process"] = "NCCL" if setting.on_gpu else "gloo"


def check_cifar(setting: Setting, found: Found) -> None:
    """ResNet-20 on noise in CIFAR-10's binary files, which stay on the device."""
    root = setting.folder / "data" / "cifar"
    write_cifar(root)
    steps, run = 200 if setting.on_gpu else 8, setting.folder / "cifar"
    sets = [f'data.{name}.root="{root}"' for name in ("train", "test")]
    small = [f"schedule.steps={steps}", "loop.log_every=50", "loop.validate_every=0", "loop.checkpoint_every=1000"]
    if not setting.on_gpu:
        sets.append('data.test.image_set="val5k"')
    done = setting.commands.run("cifar", "train-cls", "cifar10_r20", "--work-dir", run, "--cfg-options", *sets, *small)
    lines = [line.split(" INFO - ")[-1] for line in done.output.splitlines() if f"/{steps} " in line]
    found.figures["last step"] = lines[-1].strip() if lines else ""
    found.expect((run / "last.pth").is_file(), "last.pth is not there")


def write_cifar(root: Path) -> None:
    """Noise in the format of CIFAR-10's binary files: a byte for the label, then 3,072 of pixels, per image."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        records = random.integers(0, 256, (BATCH, 1 + PIXELS), dtype=np.uint8)
        records[:, 0] %= 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())
