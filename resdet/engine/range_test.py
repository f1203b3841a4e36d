"""A learning-rate range test (Smith 2017, Sect. 3.3): the loss while the rate rises exponentially, for `--auto-lr`.

    found = range_test(trial, run)
    found.suggestion                      # for optimizer.lr; None: the loss did not fall

The suggestion is a fifth of the highest rate at which the smoothed loss is still low: above its minimum by at most a
tenth of its fall. Other tools take the steepest descent, which is a difference of noisy losses and often lies among the
first steps, or the minimum itself, which is anywhere in a flat valley; the valley's end depends on the whole curve. For
a quadratic it lies at the largest stable rate with momentum .9, and at up to four times that rate without momentum: the
loss rises only when the component that grows has become large (tests/engine/test_range_test.py). Hence the fifth.

What follows a rise above the start does not count: nets with BN, whose weights grow until a high rate acts as a small
one, fall again at rates with which no training begins well.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from resdet.engine.distributed import explain_lost_process
from resdet.engine.precision import float32_products
from resdet.engine.run import Run
from resdet.engine.schedule import Schedule
from resdet.engine.train_state import M
from resdet.engine.trial import Trial, TrialLoop, state_restored
from resdet.errors import UserError

STEPS = 200  # 40 in each decade of rates
LOWEST, HIGHEST = 1e-4, 10.0  # rates: so few steps teach nothing below, and no net is stable above
DECADES = math.log10(HIGHEST / LOWEST)
RECENT, DIVERGED = 5, 4.0  # the test ends when the mean of so many losses is so many times that of the first ones
VALLEY = 0.1  # of the fall of the loss: how far above its minimum it is still low
HUMP = 2.0  # standard deviations above its start at which the loss has risen, whatever it does afterwards
DIVISOR = 5.0  # from the end of the valley to the suggestion
DIGITS = 2  # of the suggestion: a value that can be typed

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class Rise(Schedule):
    """A factor that rises exponentially from `lowest` at step 0 to `highest` at the last of `steps`."""

    steps: int
    lowest: float
    highest: float

    def __call__(self, step: int) -> float:
        """The factor at `step`."""
        return self.lowest * math.pow(self.highest / self.lowest, step / (self.steps - 1))


@dataclass(frozen=True)
class RangeTest:
    """What a range test measured.

    Args:
        lrs: values of `optimizer.lr`, ascending.
        losses: of the step at each of them; all finite.
    """

    lrs: list[float]
    losses: list[float]

    @property
    def smoothed(self) -> NDArray[np.float64]:
        """Centred mean of the losses over half a decade of rates, over fewer steps at both ends."""
        ones = np.ones(min(round(STEPS / DECADES / 2), len(self.losses)))
        sums, counts = (np.convolve(values, ones, "same") for values in (self.losses, np.ones(len(self.losses))))
        return np.asarray(sums / counts)

    @property
    def suggestion(self) -> float | None:
        """A fifth of the highest value at which the smoothed loss is low.

        None: until it rises above its start, its minimum is not below that by more than the losses vary from one step
        to the next: by one standard deviation of their noise in the first decade.
        """
        if len(self.losses) < 2:
            return None
        smoothed = self.smoothed
        start = float(smoothed[0])
        noise = float(np.diff(self.losses[: round(STEPS / DECADES)]).std()) / math.sqrt(2)
        higher = np.flatnonzero(smoothed > start + HUMP * noise)
        smoothed = smoothed[: higher[0]] if len(higher) else smoothed
        lowest = float(smoothed.min())
        if not lowest < start - noise:
            return None
        last = int(np.flatnonzero(smoothed <= lowest + VALLEY * (start - lowest))[-1])
        return float(f"{self.lrs[last] / DIVISOR:.{DIGITS}g}")


def range_test(trial: Trial[M], run: Run) -> RangeTest:
    """Train a model of its own for `STEPS` steps while the rate rises, or until the loss diverges.

    Batches, augmentation, weight decay, clipping and passes per step are the training's; there is no warm-up and no
    moving average.

    Args:
        trial: the training.
        run: its device, precision and seed.

    Returns:
        The losses, which are the same on all processes.

    Raises:
        UserError: as when the training begins.
        LostProcessError: another process has died.
    """
    with state_restored(run.device), explain_lost_process(), float32_products(run.precision):
        return _measure(trial, run)


def _measure(trial: Trial[M], run: Run) -> RangeTest:
    plan = trial.plan
    scale = plan.images / plan.optimizer["reference_images"]  # from optimizer.lr to the rate
    rise = Rise(STEPS, LOWEST / scale, HIGHEST / scale)
    trial = replace(trial, plan=replace(plan, loop=replace(plan.loop, ema=None)))
    batches = iter(trial.batches(plan.images))
    loop = TrialLoop(trial, run, 1.0, rise)
    logger.info("range test: %d steps of %d images, rates %g to %g", STEPS, plan.images, LOWEST, HIGHEST)
    found, means = RangeTest([], []), list[float]()
    while loop.step < STEPS:
        loop.try_step(list(islice(batches, plan.loop.accumulate)))
        try:
            loss = loop.window.read()[0]["loss"]
        except UserError:  # it is not finite: what the test looks for
            break
        found.lrs.append(rise(loop.step - 1))
        found.losses.append(loss)
        means.append(float(np.mean(found.losses[-RECENT:])))
        if loop.step % (STEPS // 5) == 0:
            logger.info("range test: step %d/%d  lr %.2g  loss %.3f", loop.step, STEPS, found.lrs[-1], means[-1])
        if means[-1] > DIVERGED * means[:RECENT][-1]:
            break
    return found
