"""Learning rate schedules: a factor on the base rate as a function of the step, or also of the run's figures.

schedule = MultiStep(steps=80_000, milestones=(60_000,), warmup=500)
schedule(0)          # the factor at step 0
schedule = Plateau(steps=600_000)               # ImageNet: divided by 10 when the error plateaus (Sect. 3.4)
schedule = WarmUntil(schedule, below=80)        # ResNet-110: a tenth until the training error is below 80 % (Sect. 4.2)

A checkpoint holds only the state that depends on metrics. Everything else is computed from the step and the present
config, so a schedule may be changed on a resume.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resdet.ranges import Count, Natural, Positive

LARGE_STEP_WARMUP = 500  # steps; a rate of several times the reference would diverge on new layers
WARMUP_SHARE = 0.1  # of a short training


class Schedule(ABC):
    """A factor on the base learning rate for each of `steps` optimizer steps."""

    steps: Natural

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The factor at `step`."""

    def for_images(self, images: int) -> Schedule:
        """The schedule of a training with this many images per optimizer step."""
        return self

    def in_words(self) -> str:
        """How the rate changes, for the log: "x 0.1 at step 60,000"; empty if it stays."""
        return ""

    def validated(self) -> str:
        """The figure of the validations that the rate depends on; empty if it depends on none."""
        return ""

    def observe(self, figures: Mapping[str, float]) -> None:  # noqa: B027
        """Take note of the figures of a log line or a validation; they are the same on all processes."""

    def state(self) -> dict[str, Any]:
        """What `observe` keeps, for a checkpoint."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Go on from `state`."""


@dataclass(frozen=True)
class MultiStep(Schedule):
    """The rate is multiplied by `gamma` at each milestone, after an optional linear warm-up.

    Args:
        steps: optimizer steps of the training.
        milestones: steps at which the rate falls.
        gamma: 0.1 in the paper.
        warmup: steps of the warm-up; 0: none.
        warmup_factor: factor at step 0 of the warm-up; it grows linearly to 1.
        reference_images: images per step that `steps` and `milestones` are meant for. With another number of images
            they change so that as many images are seen, and larger steps get a warm-up of at least 500 steps (Goyal et
            al. 2017), but of no more than a tenth of the training or the share of it that `warmup` is. None: they stay.
    """

    steps: Natural
    milestones: Sequence[Natural] = ()
    gamma: Positive = 0.1
    warmup: Natural = 0
    warmup_factor: float = 0.1
    reference_images: Count | None = None

    def for_images(self, images: int) -> MultiStep:
        """The schedule that sees as many images, in steps of `images`."""
        if self.reference_images in (None, images):
            return self
        ratio = self.reference_images / images
        steps = max(1, round(self.steps * ratio))
        most = max(round(self.warmup * ratio), round(WARMUP_SHARE * steps))
        return replace(
            self,
            steps=steps,
            milestones=tuple(round(milestone * ratio) for milestone in self.milestones),
            warmup=min(max(self.warmup, LARGE_STEP_WARMUP), most) if ratio < 1 else self.warmup,
            reference_images=None,
        )

    def in_words(self) -> str:
        """The milestones and the warm-up; milestones beyond the last step are said to be so."""
        marks = [f"{m:,}{'' if m < self.steps else ' (beyond the end)'}" for m in self.milestones]
        falls = [f"x {self.gamma:g} at step{'s' if len(marks) > 1 else ''} {', '.join(marks)}"] if marks else []
        return ", ".join([*falls, *_warmup_in_words(self.warmup)])

    def __call__(self, step: int) -> float:
        """The factor on the base learning rate at `step`."""
        passed = sum(step >= m for m in self.milestones)
        return self.gamma**passed * _warmup(step, self.warmup, self.warmup_factor)


@dataclass(frozen=True)
class Cosine(Schedule):
    """From the base rate to zero along half a cosine (Loshchilov and Hutter 2017), without restarts; not in the paper.

    Args:
        steps: optimizer steps of the training.
        warmup: steps of a linear warm-up; 0: none.
        warmup_factor: factor at step 0 of the warm-up.
    """

    steps: Natural
    warmup: Natural = 0
    warmup_factor: float = 0.1

    def in_words(self) -> str:
        """Where the rate ends, and the warm-up."""
        return ", ".join(["to 0 along a cosine", *_warmup_in_words(self.warmup)])

    def __call__(self, step: int) -> float:
        """The factor on the base learning rate at `step`."""
        return 0.5 * (1 + math.cos(math.pi * step / self.steps)) * _warmup(step, self.warmup, self.warmup_factor)


class Plateau(Schedule):
    """The rate is multiplied by `gamma` when a figure of the validation stops getting better (Sect. 3.4).

    The paper divides by 10 "when the error plateaus" without defining it: patience and margin are ours. Replayed on
    logs of ImageNet the first division came at epoch 23 to 30 and each later one 13 to 18 epochs after it: hence the
    limit.

    Args:
        steps: optimizer steps of the training.
        figure: name of the figure, minimized if the name ends in "error", otherwise maximized ("val/mAP50" of a
            detector); `loop.validate_every` decides how often there is one.
        patience: validations in a row without a new best value after which the rate falls.
        margin: a new best value is better than the old one by more than this, in the figure's unit; None: .1 of an
            error, which is in percent, and .001 of an mAP, from 0 to 1.
        gamma: the factor.
        divisions: how often the rate falls at most; then it stays to the end, `steps`.
    """

    def __init__(
        self,
        steps: Natural,
        figure: str = "test/top1_error",
        patience: Count = 5,
        margin: float | None = None,
        gamma: float = 0.1,
        divisions: Natural = 3,
    ) -> None:
        self.steps, self.figure, self.patience, self.gamma = steps, figure, patience, gamma
        self.minimized = figure.endswith("error")
        self.margin = margin if margin is not None else 0.1 if self.minimized else 0.001
        self.most_divisions = divisions
        self.lowest, self.waited, self.divisions = math.inf, 0, 0

    def in_words(self) -> str:
        """When the rate falls."""
        better = "falling" if self.minimized else "rising"
        return f"x {self.gamma:g} where {self.figure} stops {better}, {self.most_divisions} times at most"

    def validated(self) -> str:
        """The figure."""
        return self.figure

    def __call__(self, step: int) -> float:
        """The factor on the base learning rate, as of the last validation."""
        return self.gamma**self.divisions

    def observe(self, figures: Mapping[str, float]) -> None:
        """Count the validations since the best value."""
        if self.figure not in figures:
            return
        figure = figures[self.figure] if self.minimized else -figures[self.figure]
        if figure < self.lowest - self.margin:
            self.lowest, self.waited = figure, 0
            return
        self.waited += 1
        if self.waited >= self.patience and self.divisions < self.most_divisions:
            self.divisions, self.waited = self.divisions + 1, 0

    def state(self) -> dict[str, Any]:
        """The best value (negative where the figure is maximized), the validations since, how often the rate fell."""
        return {"lowest": self.lowest, "waited": self.waited, "divisions": self.divisions}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        vars(self).update(state)


class WarmUntil(Schedule):
    """Another schedule, multiplied by `factor` until a figure of the training log is below a limit (Sect. 4.2).

    Args:
        schedule: the other schedule; its steps count from the start of the training.
        figure: name of the figure, which is a mean since the previous log line; `loop.log_every` decides how often
            there is one.
        below: the limit, in percent; 80 in the paper.
        factor: 0.1 in the paper.
    """

    def __init__(
        self, schedule: Schedule, figure: str = "top1_error", below: float = 80.0, factor: float = 0.1
    ) -> None:
        self.schedule, self.figure, self.below, self.factor = schedule, figure, below, factor
        self.steps, self.warm = schedule.steps, False

    def for_images(self, images: int) -> WarmUntil:
        """The other schedule for this many images per step."""
        return WarmUntil(self.schedule.for_images(images), self.figure, self.below, self.factor)

    def in_words(self) -> str:
        """The other schedule, and until when the rate is lower."""
        until = f"x {self.factor:g} until {self.figure} is below {self.below:g}"
        return ", ".join(filter(None, [self.schedule.in_words(), until]))

    def __call__(self, step: int) -> float:
        """The factor on the base learning rate at `step`."""
        return self.schedule(step) * (1.0 if self.warm else self.factor)

    def validated(self) -> str:
        """That of the other schedule."""
        return self.schedule.validated()

    def observe(self, figures: Mapping[str, float]) -> None:
        """Note whether the figure was ever below the limit, and pass the figures on."""
        self.warm = self.warm or figures.get(self.figure, math.inf) < self.below
        self.schedule.observe(figures)

    def state(self) -> dict[str, Any]:
        """Whether the figure was below the limit, and the state of the other schedule."""
        return {"warm": self.warm, "schedule": self.schedule.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.warm = state["warm"]
        self.schedule.restore(state["schedule"])


def _warmup(step: int, length: int, factor: float) -> float:
    return 1.0 if step >= length else factor + (1 - factor) * step / length


def _warmup_in_words(length: int) -> list[str]:
    return [f"warm-up of {length:,} steps"] if length else []
