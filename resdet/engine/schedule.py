"""Learning rates as functions of the step, and of the run's own figures where the paper looks at them.

schedule = MultiStep(steps=80_000, milestones=(60_000,), warmup=500)
schedule(0)          # the factor on the base learning rate at step 0
schedule = Plateau(steps=600_000)               # ImageNet: divided by 10 when the error plateaus (Sect. 3.4)
schedule = WarmUntil(schedule, below=80)        # ResNet-110: a tenth until the training error is under 80 % (Sect. 4.2)

What a schedule has learned from figures goes into the checkpoints; the step alone decides the rest, so that a changed
config needs no stored state.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class Schedule(ABC):
    """A factor on the base learning rate for each of `steps` optimizer steps."""

    steps: int

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The factor at `step`."""

    def observe(self, figures: Mapping[str, float]) -> None:  # noqa: B027
        """Look at the figures of a line of the log, or of a validation: the same on all processes."""

    def state(self) -> dict[str, Any]:
        """What `observe` has learned."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Go on from `state`."""


@dataclass(frozen=True)
class MultiStep(Schedule):
    """Divided at milestones (the paper: by 10), after an optional linear warm-up.

    steps, milestones and warmup count optimizer steps; `warmup_factor` is where the warm-up starts.
    """

    steps: int
    milestones: Sequence[int] = ()
    gamma: float = 0.1
    warmup: int = 0
    warmup_factor: float = 0.1

    def __call__(self, step: int) -> float:
        """The factor on the base learning rate at `step`."""
        passed = sum(step >= m for m in self.milestones)
        return self.gamma**passed * _warmup(step, self.warmup, self.warmup_factor)


@dataclass(frozen=True)
class Cosine(Schedule):
    """From the base learning rate to zero along half a cosine; for short runs, where steps waste the end."""

    steps: int
    warmup: int = 0
    warmup_factor: float = 0.1

    def __call__(self, step: int) -> float:
        """The factor on the base learning rate at `step`."""
        return 0.5 * (1 + math.cos(math.pi * step / self.steps)) * _warmup(step, self.warmup, self.warmup_factor)


class Plateau(Schedule):
    """Divided by ten whenever a figure has stopped falling (Sect. 3.4: "when the error plateaus").

    Args:
        steps: of the run.
        figure: of the validation; loop.validate_every decides how often it is looked at.
        patience: so many validations in a row without a new lowest figure divide the rate.
        margin: a new lowest figure is lower by more than this.
        gamma: the factor.
    """

    def __init__(
        self,
        steps: int,
        figure: str = "test/top1_error",
        patience: int = 5,
        margin: float = 0.1,
        gamma: float = 0.1,
    ) -> None:
        self.steps, self.figure, self.patience, self.margin, self.gamma = steps, figure, patience, margin, gamma
        self.lowest, self.waited, self.divisions = math.inf, 0, 0

    def __call__(self, step: int) -> float:
        """The factor on the base learning rate, as of the last validation."""
        return self.gamma**self.divisions

    def observe(self, figures: Mapping[str, float]) -> None:
        """Count validations without progress."""
        if self.figure not in figures:
            return
        if figures[self.figure] < self.lowest - self.margin:
            self.lowest, self.waited = figures[self.figure], 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.divisions, self.waited = self.divisions + 1, 0

    def state(self) -> dict[str, Any]:
        """The lowest figure, the validations since, and the divisions so far."""
        return {"lowest": self.lowest, "waited": self.waited, "divisions": self.divisions}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        vars(self).update(state)


class WarmUntil(Schedule):
    """Another schedule, times `factor` until a figure of the training's log falls under `below` (Sect. 4.2).

    Args:
        schedule: what follows; its steps count from the start of the run.
        figure: the mean since the last line of the log; loop.log_every decides how often it is looked at.
        below: in percent.
        factor: on the rate until then.
    """

    def __init__(
        self, schedule: Schedule, figure: str = "top1_error", below: float = 80.0, factor: float = 0.1
    ) -> None:
        self.schedule, self.figure, self.below, self.factor = schedule, figure, below, factor
        self.steps, self.warm = schedule.steps, False

    def __call__(self, step: int) -> float:
        """The factor on the base learning rate at `step`, as of the last line of the log."""
        return self.schedule(step) * (1.0 if self.warm else self.factor)

    def observe(self, figures: Mapping[str, float]) -> None:
        """Once under the limit, the full rate stays."""
        self.warm = self.warm or figures.get(self.figure, math.inf) < self.below
        self.schedule.observe(figures)

    def state(self) -> dict[str, Any]:
        """Whether the limit was passed, and the other schedule's state."""
        return {"warm": self.warm, "schedule": self.schedule.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.warm = state["warm"]
        self.schedule.restore(state["schedule"])


def _warmup(step: int, length: int, factor: float) -> float:
    return 1.0 if step >= length else factor + (1 - factor) * step / length
