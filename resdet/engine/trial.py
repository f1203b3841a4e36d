"""Steps of a training that are tried before it begins, on a model of their own, and leave no trace in it.

trial = Trial(new_model, plan, batches, largest, length)
with state_restored(run.device):
    loop = TrialLoop(trial, run, lr=1.0, schedule=MultiStep(100))
    loop.try_step(batches)

range_test.py finds a learning rate in this way (`--auto-lr`), batch_fit.py a number of images (`--auto-images`).
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch

from resdet.engine.config import build_call
from resdet.engine.distributed import distribute
from resdet.engine.loop import TrainLoop
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run
from resdet.engine.schedule import Schedule
from resdet.engine.train_state import M
from resdet.engine.training import Plan


@dataclass(frozen=True)
class Trial(Generic[M]):
    """A training that has not begun.

    Args:
        new_model: makes the model that the training would start from, on the CPU, with its pretrained weights.
        plan: images per step, optimizer, schedule and loop settings.
        batches: endless batches of this process from the first step on, for a number of images per step.
        largest: a batch of this number of images that takes as much memory as any batch of as many can.
        length: images of the training set.
        least: images of the smallest batch that the net can be trained on: BN needs two where maps are of one cell.
    """

    new_model: Callable[[], M]
    plan: Plan
    batches: Callable[[int], Iterable[Any]]
    largest: Callable[[int], Any]
    length: int
    least: int = 1


class TrialLoop(TrainLoop[M]):
    """The training's loop, one step at a time, without log, checkpoints and validations.

    Args:
        trial: the training.
        run: folder, device, precision and seed; nothing is written.
        lr: base learning rate in place of the plan's.
        schedule: factor on it at each step.
    """

    def __init__(self, trial: Trial[M], run: Run, lr: float, schedule: Schedule) -> None:
        plan, model = trial.plan, trial.new_model().to(run.device)
        optimizer = build_call(build_sgd, {**plan.optimizer, "lr": lr}, model=model, images=plan.images)
        super().__init__(model, optimizer, schedule, plan.loop, run)
        self._distributed = distribute(model, run.device)

    def try_step(self, batches: Sequence[Any]) -> None:
        """One optimizer step on the mean of the gradients of these batches (`TrainLoop._update`)."""
        self._update(self._distributed, list(batches))


@contextmanager
def state_restored(device: torch.device) -> Iterator[None]:
    """Afterwards the generators of Python, NumPy and torch are as before, and a GPU's memory is free again."""
    python, numpy = random.getstate(), np.random.get_state()
    gpus = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(gpus):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if gpus:
            gc.collect()
            torch.cuda.empty_cache()
