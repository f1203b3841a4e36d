"""The state of a training: what a checkpoint holds, how it is restored, and how a failed step is undone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resdet.engine.distributed import is_main_process
from resdet.engine.loss_window import LossWindow, Mark
from resdet.engine.run import Run
from resdet.engine.schedule import Schedule
from resdet.errors import UserError

M = TypeVar("M", bound=nn.Module)


class TrainState(Generic[M]):
    """Model, optimizer, schedule, and how far the training is.

    Args:
        model: on the run's device.
        optimizer: its learning rates are those at a schedule factor of 1.
        schedule: number of steps, and the factor on the learning rates at each.
        ema: decay per step of a moving average of the weights; None: no average.
        run: device, precision and seed.

    Attributes:
        step: optimizer steps done.
        figures: of the last validation.
        best: the highest value of the figure that selects best.pth; negated if it is an error.
        since_best: validations since then.
        validation_due: the validation of this step is still to be done.
        whole: False while the optimizer changes the weights.
        window: losses since the last line of the log.
    """

    def __init__(
        self, model: M, optimizer: torch.optim.Optimizer, schedule: Schedule, ema: float | None, run: Run
    ) -> None:
        self.model, self.optimizer, self.run = model, optimizer, run
        self.schedule, self.steps = schedule, schedule.steps
        self.rates = [group["lr"] for group in optimizer.param_groups]  # at a schedule factor of 1
        self.scaler = torch.amp.GradScaler(run.device.type, enabled=run.precision == "fp16")
        self.ema = _average(model, ema)
        self.step, self.best, self.figures = 0, -math.inf, dict[str, float]()
        self.validation_due, self.whole, self.since_best = False, True, 0
        self.window = LossWindow()
        self._buffers = _by_type(model.buffers()) if is_main_process() else []  # which alone saves
        self._copies = [[torch.empty_like(buffer) for buffer in group] for group in self._buffers]
        self._kept: tuple[int, dict[str, Tensor], Mark] | None = None  # step, generators, length of the window

    @property
    def averaged(self) -> M:
        """The model to validate and to keep: the moving average of the weights, or the model itself without one."""
        return self.model if self.ema is None else cast(M, self.ema.module)

    def capture(self, window: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of a checkpoint.

        Args:
            window: losses that the log has not shown yet (`LossWindow.state`).
        """
        state = {
            "run": self.run.id,
            "step": self.step,
            "seed": self.run.seed,
            "best": self.best,
            "since_best": self.since_best,
            "figures": self.figures,
            "schedule": self.schedule.state(),
            "model": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            **self._generators(),
            "validated": not self.validation_due,
            "window": dict(window),
        }
        if self.ema is not None:
            state |= {"raw_model": self.model.state_dict(), "ema": self.ema.state_dict()}
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; learning rates and schedule are those of the present config.

        Raises:
            KeyError, RuntimeError, ValueError: it is of another net or optimizer, or has no moving average where one
                is asked for (or the reverse).
        """
        self.model.load_state_dict(state["model" if self.ema is None else "raw_model"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        # All settings are those of the present config. The rate is set at each step: until then it is the last step's.
        settings = [{k: v for k, v in g.items() if k not in ("params", "lr")} for g in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, ours in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(ours)
        self.step, self.best, self.since_best = state["step"], state["best"], state.get("since_best", 0)
        if state.get("schedule"):
            self.schedule.restore(state["schedule"])
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.figures = state.get("figures", {})
        self.window.restore(state.get("window", {}))
        self._set_generators(state)
        self.validation_due = not state.get("validated", True)

    def is_best(self, name: str, figures: Mapping[str, float]) -> bool:
        """Whether a validation is the best so far; it is noted in `best` and `since_best`.

        Args:
            name: of the figure to compare, minimized if the name ends in "error"; "": none.
            figures: of the validation.

        Raises:
            UserError: there is no such figure.
        """
        if not name:
            return False
        if name not in figures:
            raise UserError(f"loop.best='{name}' is not a figure of the validation: {', '.join(figures)}")
        figure = -figures[name] if name.endswith("error") else figures[name]
        if not figure > self.best:
            self.since_best += 1
            return False
        self.best, self.since_best = figure, 0
        return True

    def keep(self) -> None:
        """Note what a step changes before its optimizer does: BN statistics, random generators, the loss window."""
        for copies, buffers in zip(self._copies, self._buffers, strict=True):
            torch._foreach_copy_(copies, buffers)
        self._kept = self.step, self._generators(), self.window.mark()

    def roll_back(self) -> bool:
        """Go back to the last whole state after an error.

        Returns:
            False: there is none to be saved, because the error came amid the update of the weights, or because a loss
            or a weight is not finite.
        """
        if not self.whole:
            return False
        if self._kept is not None and self._kept[0] == self.step:
            for copies, buffers in zip(self._copies, self._buffers, strict=True):
                torch._foreach_copy_(buffers, copies)
            self._set_generators(self._kept[1])
            self.window.cut(self._kept[2])
        losses = self.window.own_state() is not None
        return losses and all(bool(parameter.isfinite().all()) for parameter in self.model.parameters())

    def _generators(self) -> dict[str, Tensor]:
        """The states of torch's generators, as entries of a checkpoint."""
        found = {"rng": torch.get_rng_state()}
        if self.run.device.type == "cuda":
            found["cuda_rng"] = torch.cuda.get_rng_state(self.run.device)
        return found

    def _set_generators(self, state: Mapping[str, Any]) -> None:
        torch.set_rng_state(state["rng"])
        if "cuda_rng" in state and self.run.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], self.run.device)


def _by_type(buffers: Iterable[Tensor]) -> list[list[Tensor]]:
    """Buffers in groups of one dtype, which a GPU copies in a few kernels."""
    groups: dict[torch.dtype, list[Tensor]] = {}
    for buffer in buffers:
        groups.setdefault(buffer.dtype, []).append(buffer)
    return list(groups.values())


def _average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    make_average: Callable[[float], Any] = get_ema_multi_avg_fn
    return AveragedModel(model, multi_avg_fn=make_average(decay), use_buffers=True)
