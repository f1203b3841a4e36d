"""Learning rates as pure functions of the step, so that a resumed run and a changed config need no stored state.

schedule = MultiStep(steps=80_000, milestones=(60_000,), warmup=500)
schedule(0)          # the factor on the base learning rate at step 0
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class MultiStep:
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
class Cosine:
    """From the base learning rate to zero along half a cosine; for short runs, where steps waste the end."""

    steps: int
    warmup: int = 0
    warmup_factor: float = 0.1

    def __call__(self, step: int) -> float:
        """The factor on the base learning rate at `step`."""
        return 0.5 * (1 + math.cos(math.pi * step / self.steps)) * _warmup(step, self.warmup, self.warmup_factor)


def _warmup(step: int, length: int, factor: float) -> float:
    return 1.0 if step >= length else factor + (1 - factor) * step / length
