"""A config's section `loop`: what happens every how many steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resdet.engine.schedule import Schedule
from resdet.engine.typed import check_values
from resdet.errors import UserError, nearest
from resdet.ranges import Count, Natural, Positive, Share


@dataclass(frozen=True)
class LoopSettings:
    """A config's section `loop`.

    Args:
        log_every: optimizer steps between two lines of the log; the first few steps have lines besides.
        checkpoint_every: optimizer steps between two checkpoints (last.pth).
        validate_every: optimizer steps between two validations; 0: only at the end.
        patience: validations in a row without a new best after which the training ends early; 0: it never does. Needs
            `best` and `validate_every`. A schedule that lowers the rate at its end does not come to that.
        validate_images: test images that the validations on the way use, a fixed sample spread evenly over the set;
            0: all. The last validation always uses all.
        accumulate: forward and backward passes per optimizer step.
        clip: maximum L2 norm of the gradient of all parameters; None: no clipping.
        ema: decay per step of an exponential moving average of the weights, which is then what is validated and
            saved; None: no average.
        best: the metric of the validation that selects best.pth: maximized, or minimized if its name ends in
            "error". Empty: no best.pth. It is chosen on the test set: report the figures of last.pth. With
            `validate_images` all steps are compared on the sample.

    Raises:
        UserError: a value is not of its type or range, or `patience` lacks what it needs.
    """

    log_every: Count = 20
    checkpoint_every: Count = 1000
    validate_every: Natural = 0
    accumulate: Count = 1
    clip: Positive | None = None
    ema: Share | None = None
    best: str = ""
    validate_images: Natural = 0
    patience: Natural = 0

    def __post_init__(self) -> None:
        check_values(LoopSettings, vars(self), "loop")
        if self.patience and not (self.best and self.validate_every):
            raise UserError("loop.patience needs a figure and validations: set loop.best and loop.validate_every")

    def check_figures(self, figures: Sequence[str], schedule: Schedule | None = None) -> None:
        """Check, before the first step, that the validations will give the figures that the training depends on.

        Args:
            figures: the names of all that they give.
            schedule: of the training.

        Raises:
            UserError: `best`, or the schedule's figure, is not among them, or there are no validations.
        """
        if self.best and self.best not in figures:
            raise UserError(
                f"loop.best is {self.best!r}; wanted: {', '.join(nearest(self.best, figures))}, or '' for none"
            )
        needed = schedule.validated() if schedule is not None else ""
        if needed and needed not in figures:
            raise UserError(f"schedule.figure is {needed!r}; wanted: {', '.join(nearest(needed, figures))}")
        if needed and not self.validate_every:
            raise UserError(f"the schedule depends on {needed}, but there are no validations: set loop.validate_every")
