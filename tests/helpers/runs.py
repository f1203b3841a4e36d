"""Runs on the CPU, and a model of one weight to train in them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.run import Run
from resdet.engine.schedule import MultiStep
from resdet.engine.training import Plan, begin
from resdet.structures import LabelledImages

CPU = torch.device("cpu")


def run_in(work_dir: Path, **options: object) -> Run:
    """A run on the CPU in fp32."""
    return Run(work_dir, CPU, "fp32", **options)  # type: ignore[arg-type]


def make_run(folder: Path, resume: str | None = None) -> Run:
    """A run on the CPU in fp32 with seed 5."""
    return Run(folder, torch.device("cpu"), "fp32", seed=5, resume=resume)


class Scale(nn.Module):
    """loss = w * mean of the pixels / their maximum: a known gradient, and NaN for black images."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))

    def forward(self, batch: LabelledImages) -> dict[str, Tensor]:
        pixels = batch.images.float()
        return {"loss_scale": self.w * pixels.mean() / pixels.max(), "pixels": pixels.mean()}


def grey(level: int, name: str = "grey", count: int = 2) -> LabelledImages:
    """A batch of `count` images whose pixels are all `level`."""
    images = torch.full((count, 3, 2, 2), level, dtype=torch.uint8)
    zeros = torch.zeros(count, dtype=torch.int64)
    return LabelledImages(images, zeros, zeros, [f"{name}{i}" for i in range(count)])


def weight(path: Path, key: str = "model") -> float:
    """The weight of a Scale in a checkpoint."""
    return read_checkpoint(path)[key]["w"].item()


def begin_scale(run: Run, steps: int, metadata: object = None, **settings: object) -> TrainLoop[Scale]:
    """Begin to train a Scale at a rate of 1/8, as the recipes begin to train their models."""
    optimizer = {"lr": 0.125, "reference_images": 2, "momentum": 0.5, "weight_decay": 0.0}
    plan = Plan(2, optimizer, MultiStep(steps), LoopSettings(**settings))  # type: ignore[arg-type]
    return begin(Scale(), plan, run, metadata)  # type: ignore[arg-type]
