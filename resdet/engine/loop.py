"""The training loop. A step is forward, backward and update (`TrainLoop._update`); the rest happens every N steps.

    loop = TrainLoop(model, optimizer, schedule, settings, run)
    loop.resume(checkpoint)                     # optional
    loop(batches, validate=lambda model: {"val/mAP50": ...})

`model(batch)` returns a dict of scalars: those whose names begin with "loss" are summed and minimized, the others only
logged. Losses are copied to the host only when a line is logged; a loss that is not finite then stops the run.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resdet.engine.checkpoint import LAST, save_checkpoint
from resdet.engine.config import changed_lines
from resdet.engine.distributed import (
    copy_from_main,
    distribute,
    explain_lost_process,
    get_world_size,
    is_main_process,
    no_gradient_exchange,
)
from resdet.engine.log import Scalars, clock
from resdet.engine.loss_window import LossWindow
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.engine.schedule import Schedule
from resdet.engine.stop_signals import StopSignals
from resdet.errors import UserError

logger = logging.getLogger("resdet")
Validate = Callable[[nn.Module], dict[str, float]]


@dataclass(frozen=True)
class LoopSettings:
    """A config's section `loop`.

    Args:
        log_every: optimizer steps between two lines of the log.
        checkpoint_every: optimizer steps between two checkpoints (last.pth).
        validate_every: optimizer steps between two validations; 0: only at the end.
        accumulate: forward and backward passes per optimizer step.
        clip: maximum L2 norm of the gradient of all parameters; None: no clipping.
        ema: decay per step of an exponential moving average of the weights, which is then what is validated and
            saved; None: no average.
        best: the metric of the validation that selects best.pth: maximized, or minimized if its name ends in
            "error". Empty: no best.pth. It is chosen on the test set: report the figures of last.pth.

    Raises:
        UserError: a number of steps or passes is not an integer of 1 or more.
    """

    log_every: int = 20
    checkpoint_every: int = 1000
    validate_every: int = 0
    accumulate: int = 1
    clip: float | None = None
    ema: float | None = None
    best: str = ""

    def __post_init__(self) -> None:
        for name in ("log_every", "checkpoint_every", "accumulate"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise UserError(f"loop.{name} is {getattr(self, name)!r}: give a number of steps, 1 or more")


class TrainLoop:
    """Trains a model from its present step to the schedule's last one.

    Args:
        model: on the run's device; returns scalars for a batch.
        optimizer: its learning rates are those at a schedule factor of 1.
        schedule: number of steps, and the factor on the learning rates at each.
        settings: a config's section `loop`.
        run: folder, device, precision and seed.
        metadata: further entries of every checkpoint, such as the config's text and the names of the classes.

    Attributes:
        step: optimizer steps done.
        figures: of the last validation.
        best: the highest value of the figure `settings.best` so far; negated if it is an error.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        settings: LoopSettings,
        run: Run,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.optimizer, self.schedule, self.steps = model, optimizer, schedule, schedule.steps
        self.settings, self.run, self.metadata = settings, run, dict(metadata or {})
        self.rates = [group["lr"] for group in optimizer.param_groups]  # at a schedule factor of 1
        self.scaler = torch.amp.GradScaler(run.device.type, enabled=run.precision == "fp16")
        self.ema = _average(model, settings.ema)
        self.step, self.best, self.figures = 0, -math.inf, dict[str, float]()
        self.validation_due = False
        self.window, self.scalars = LossWindow(), Scalars(run.work_dir, run.backends)

    @property
    def averaged(self) -> nn.Module:
        """The model to validate and to keep: the moving average of the weights, or the model itself without one."""
        return self.model if self.ema is None else self.ema.module

    def __call__(self, batches: Iterable[Any], validate: Validate | None = None) -> nn.Module:
        """Train until the schedule's last step.

        Args:
            batches: endless; each has `to(device)` and `image_ids`.
            validate: takes the model to keep, returns figures by name for the log.

        Returns:
            The model to keep (`averaged`).

        Raises:
            UserError: the loss is not finite, another process was lost, or a signal asked to stop: then last.pth is
                of the last whole step.
        """
        model = distribute(self.model, self.run.device)
        self.scalars.forget_after(self.step)
        self.window.begin()
        if self.validation_due and validate is not None:
            self._validate(validate)
        source = iter(batches) if self.step < self.steps else iter(())
        with StopSignals() as signals, explain_lost_process():
            while self.step < self.steps:
                self._update(model, list(islice(source, self.settings.accumulate)))
                self.step += 1
                self._every(validate)
                if signals.received and self.step < self.steps:
                    self._stop()
        self.scalars.close()
        return self.averaged

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; learning rates and schedule are those of the present config.

        Raises:
            UserError: the checkpoint is of another net or optimizer, has no moving average where one is asked for (or
                the reverse), or is of another seed.
        """
        if state.get("seed", self.run.seed) != self.run.seed:
            raise UserError(f"--seed {self.run.seed}: the run to resume has --seed {state['seed']}; give that one")
        try:
            self._restore(state)
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"this checkpoint cannot be resumed here ({reason}): it is of another net, optimizer or loop.ema; "
                "resume it with its own config, or give it as --init-from"
            ) from error
        changed = changed_lines(state.get("config", ""), self.metadata.get("config", ""))
        if changed:
            logger.warning("the config differs from the checkpoint's and is used as it is now: %s", "; ".join(changed))
        logger.info("resumed at step %d of %d", self.step, self.steps)

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model" if self.ema is None else "raw_model"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        settings = [{k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best = state["step"], state["best"]
        if state.get("schedule"):
            self.schedule.restore(state["schedule"])
        for group, ours in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(ours)
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.figures = state.get("figures", {})
        self.window.restore(state.get("window", {}))
        torch.set_rng_state(state["rng"])
        if "cuda_rng" in state and self.run.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], self.run.device)
        self.validation_due = not state.get("validated", True)

    def save(self, name: str, validated: bool = True, window: dict[str, Any] | None = None) -> None:
        """Write a checkpoint, on the main process.

        Args:
            name: of the file in the run's folder.
            validated: False: the validation that is due at this step is still to be done when the run is resumed.
            window: losses that the log has not shown yet (`LossWindow.state`).
        """
        if not is_main_process():
            return
        state = {
            **self.metadata,
            "step": self.step,
            "seed": self.run.seed,
            "best": self.best,
            "figures": self.figures,
            "schedule": self.schedule.state(),
            "model": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
            "validated": validated,
            "window": window or {},
        }
        if self.run.device.type == "cuda":
            state["cuda_rng"] = torch.cuda.get_rng_state(self.run.device)
        if self.ema is not None:
            state |= {"raw_model": self.model.state_dict(), "ema": self.ema.state_dict()}
        save_checkpoint(self.run.work_dir / name, state)

    def _update(self, model: nn.Module, batches: list[Any]) -> None:
        """One optimizer step, on the mean of the gradients of these batches."""
        model.train()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.schedule(self.step)
        for i, batch in enumerate(batches):
            batch = batch.to(self.run.device)
            last = i == len(batches) - 1
            with no_gradient_exchange(model, not last), precision_context(self.run.precision, self.run.device):
                values = model(batch)
                losses = [v for k, v in values.items() if k.startswith("loss")]
                total = torch.stack([loss.float() for loss in losses]).sum()
            with no_gradient_exchange(model, not last):
                torch.autograd.backward(self.scaler.scale(total / len(batches)))
            self.window.add(values, total.detach(), batch.image_ids)
        self.window.steps += 1
        if self.settings.clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update_parameters(self.model)

    def _every(self, validate: Validate | None) -> None:
        s, last = self.settings, self.step == self.steps
        validating = validate is not None and (last or (s.validate_every and self.step % s.validate_every == 0))
        saving = last or self.step % s.checkpoint_every == 0
        if self.step % s.log_every == 0 or saving or validating:
            self._log()
        if validating and validate is not None:
            self._validate(validate)
            self.window.begin()
        if saving:
            self.save(LAST)

    def _log(self) -> None:
        if not self.window.steps:
            return
        means, images_per_second, seconds_per_step = self.window.read()
        speed = images_per_second * get_world_size()
        lr = self.rates[0] * self.schedule(self.step - 1)
        self.schedule.observe(means)
        self.scalars.add(self.step, {"lr": lr, **means, "images_per_second": speed})
        parts = " ".join(f"{k.removeprefix('loss_')} {v:.3f}" for k, v in means.items() if k != "loss")
        left = (self.steps - self.step) * seconds_per_step
        line = f"step {self.step:{len(str(self.steps))}}/{self.steps}  loss {means['loss']:.3f} ({parts})  lr {lr:.2g}"
        logger.info("%s  %.1f images/s  %s left", line, speed, clock(left))

    def _stop(self) -> None:
        self.save(LAST, window=self.window.state())  # so that a schedule sees the same means as without the stop
        work_dir = self.run.whole or self.run.work_dir
        raise UserError(f"stopped at step {self.step}; go on with --work-dir {work_dir} --resume")

    def _validate(self, validate: Validate) -> None:
        copy_from_main(self.averaged)  # BN statistics follow each process's images; the checkpoint has the main one's
        try:
            self.figures, best = validate(self.averaged), self.settings.best
        except Exception:
            self.save(LAST, validated=False)  # the training since the last checkpoint is not lost
            raise
        self.schedule.observe(self.figures)
        self.scalars.add(self.step, self.figures)
        logger.info("step %d  %s", self.step, "  ".join(f"{k} {v:.4g}" for k, v in self.figures.items()))
        if not best:
            return
        if best not in self.figures:
            raise UserError(f"loop.best='{best}' is not a figure of the validation: {', '.join(self.figures)}")
        figure = -self.figures[best] if best.endswith("error") else self.figures[best]
        if figure > self.best:
            self.best = figure
            self.save("best.pth")


def _average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    make_average: Callable[[float], Any] = get_ema_multi_avg_fn
    return AveragedModel(model, multi_avg_fn=make_average(decay), use_buffers=True)
