"""The largest number of images per forward pass whose steps fit into memory, for `--auto-images`.

    images = images_that_fit(trial, run)

Measured, not computed: whole optimizer steps on the largest batches that the training can have, with all states that
stay in memory (momentum, moving average). The number doubles; a line through the last two measurements says how far it
may go, so that a CPU's memory is never exhausted on the way, and what it says is tried.
"""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from resdet.engine.convolutions import timed_convolutions
from resdet.engine.distributed import get_world_size
from resdet.engine.memory import can_measure_steps, forget_peak, held_peak_gib, usable_gib
from resdet.engine.precision import float32_products
from resdet.engine.run import Run
from resdet.engine.schedule import MultiStep
from resdet.engine.train_state import M
from resdet.engine.trial import Trial, TrialLoop, state_restored
from resdet.errors import UserError

SHARE = 0.8  # of the memory that the process may hold; the rest is for fragments, loader processes and the test
TRIED_STEPS = 2  # momentum exists from the second one on; a GPU's allocator also needs two at each number

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class Fit:
    """What fits.

    Attributes:
        images: per forward pass; 0: not even the smallest batch fits.
        gib: peak memory of a step with so many, in GiB; infinite if the memory was exhausted.
        limit: the memory that was allowed, in GiB.
    """

    images: int
    gib: float
    limit: float


def images_that_fit(trial: Trial[M], run: Run, fixed: bool) -> Fit:
    """Look for the largest number of images per forward pass, at most those of the training set.

    Args:
        trial: the training.
        run: its device and precision.
        fixed: whether all batches have the same few sizes, as `TrainLoop.train` is told: cuDNN then takes other
            algorithms.

    Raises:
        UserError: there are several processes, this system does not tell a CPU's memory, or the smallest batch does not
            fit.
    """
    if get_world_size() > 1:
        raise UserError(
            "--auto-images is for one process: run that for a few steps, then start all of them with --cfg-options "
            "data.images=N, the number that it has found times the processes"
        )
    if not can_measure_steps(run.device):
        raise UserError("--auto-images on a CPU needs Linux, whose /proc tells the memory of a step: set data.images")
    with state_restored(run.device), float32_products(run.precision), timed_convolutions(run.device, fixed):
        loop = TrialLoop(trial, run, 0.0, MultiStep(1))
        limit = SHARE * usable_gib(run.device)
        most = max(trial.least, trial.length // trial.plan.loop.accumulate)
        fit = largest_fit(lambda images: _peak(loop, trial, images), limit, most, trial.least)
    if not fit.images:
        needed = "more than there is" if math.isinf(fit.gib) else f"{fit.gib:.1f} GiB"
        raise UserError(
            f"--auto-images: a step of {_number(trial.least)} takes {needed}, and {limit:.1f} GiB may be used "
            f"({SHARE:.0%} of what is free): take smaller images (data.resizer or the crop), --precision bf16, or a "
            "smaller net"
        )
    return fit


def largest_fit(peak: Callable[[int], float], limit: float, most: int, least: int = 1) -> Fit:
    """The largest number of images up to `most` whose peak is at most `limit`.

    Args:
        peak: measures the memory of a step with a number of images, in GiB; 0: before any step. It does not fall with
            the number, and is infinite where the memory was exhausted. Asked only for numbers that should fit.
        limit: in GiB.
        most: at least `least`.
        least: the first number to try.
    """
    known, too_many = [(0, peak(0)), (least, peak(least))], most + 1
    if known[1][1] > limit:
        return Fit(0, known[1][1], limit)
    number = 2 * least
    while (number := min(number, too_many - 1, _predicted(known, limit))) > known[-1][0]:
        used = peak(number)
        if used <= limit:
            known.append((number, used))
        else:
            too_many = number
        last = known[-1][0]
        number = 2 * last if too_many > most else (last + too_many) // 2
    return Fit(*known[-1], limit)


def _predicted(known: list[tuple[int, float]], limit: float) -> int:
    """The number at which a line through the last measurement, and the last at half of it or less, reaches the limit.

    At most twice the last one. The first line is too steep, as a step has parts that do not grow with the images: it
    may reach the rest of the memory.
    """
    last, used = known[-1]
    before, less = [(n, gib) for n, gib in known if 2 * n <= last][-1]
    slope = (used - less) / (last - before)
    room = limit / SHARE if before == 0 else limit
    return 2 * last if slope * last <= room - used else last + int((room - used) / slope)


def _peak(loop: TrialLoop[M], trial: Trial[M], images: int) -> float:
    """Peak memory of steps with so many images per pass, in GiB."""
    device, exhausted = loop.run.device, False
    batch = trial.largest(max(trial.least, images))
    passes = min(2, trial.plan.loop.accumulate)  # the first one's gradients stay
    _release(loop)
    forget_peak(device)
    steps = TRIED_STEPS if device.type == "cuda" or images == trial.least else 1
    try:
        for _ in range(steps if images else 0):
            loop.try_step([batch] * passes)
    except (MemoryError, RuntimeError) as error:
        if not _is_exhausted(error):
            raise
        exhausted = True  # the memory is released below, when this exception's frames are gone
    used = math.inf if exhausted else held_peak_gib(device)
    _release(loop)
    if images:
        logger.info("--auto-images: %s per pass: %s", _number(images), _in_words(used))
    return used


def _is_exhausted(error: MemoryError | RuntimeError) -> bool:
    """Whether memory was short; torch has a class of errors for that of GPUs alone."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _release(loop: TrialLoop[M]) -> None:
    loop.optimizer.zero_grad(set_to_none=True)
    loop.window.restart()
    if loop.run.device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def _number(images: int) -> str:
    return f"{images} image{'s' * (images > 1)}"


def _in_words(used: float) -> str:
    return "out of memory" if math.isinf(used) else f"{used:.2f} GiB"
