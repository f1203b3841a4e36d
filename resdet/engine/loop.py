"""The training loop. One training step is `TrainLoop._update`, between a step's batches and its log line:

    rates of this step -> losses = model(batch) -> backward, summed over `loop.accumulate` batches
    -> average running BN statistics over processes -> clip gradients -> SGD step -> moving average (EMA)

`TrainLoop._every` then logs and saves every N steps; validations follow. A training begins or resumes in training.py
(`begin`).

    loop = begin(model, plan, run)                       # engine/training.py: new, or at the step of a checkpoint
    loop.train(batches, validate=lambda model: {"val/mAP50": ...})

`model(batch)` returns a dict of scalars: those whose names begin with "loss" are summed and minimized, the others only
logged. Losses are copied to the host only when a line is logged; a loss that is not finite then stops the run.
Before a validation last.pth is saved, afterwards best.pth if the result is the best so far: a resumed run repeats a
validation that fails. After an error within a step, last.pth holds the state after the step before, unless the error
came while the weights were updated (`TrainState.roll_back`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol

import torch
from torch import nn

from resdet.engine.checkpoint import BEST, LAST, save_checkpoint
from resdet.engine.compiled import Compilable, begin_batch, check_mode, compiled
from resdet.engine.conditions import check_conditions
from resdet.engine.config_text import changed_values
from resdet.engine.convolutions import timed_convolutions
from resdet.engine.distributed import (
    average_bn,
    distribute,
    explain_lost_process,
    get_world_size,
    is_main_process,
    no_gradient_exchange,
    seed_step,
)
from resdet.engine.log import Scalars, clock
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.precision import float32_products, precision_context
from resdet.engine.run import Run, how_to_go_on
from resdet.engine.schedule import Schedule
from resdet.engine.stop_signals import StopSignals
from resdet.engine.train_state import M, TrainState
from resdet.errors import LostProcessError, Stopped, UserError

logger = logging.getLogger("resdet")
EARLY = (1, 2, 5, 10)  # steps after a start or a resume with a line in the log of their own; scalars.json has none
WEIGHTS = ("model", "raw_model", "ema", "optimizer")  # the large entries of a checkpoint


class Validate(Protocol):
    """Tests a model during the training: figures for the log, by name."""

    def __call__(self, model: nn.Module, images: int = 0, /) -> dict[str, float]:
        """Test on `images` test images, a fixed sample spread evenly over the set; 0: on all."""
        ...


class TrainLoop(TrainState[M]):
    """Trains a model from its present step to the schedule's last one.

    Args:
        model: on the run's device; returns scalars for a batch.
        optimizer: its learning rates are those at a schedule factor of 1.
        schedule: number of steps, and the factor on the learning rates at each.
        settings: a config's section `loop`.
        run: folder, device, precision and seed.
        metadata: further entries of every checkpoint, such as the config's text and the names of the classes.

    Attributes:
        state: the checkpoint that was resumed, without its weights; empty for a new training.
    """

    def __init__(
        self,
        model: M,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        settings: LoopSettings,
        run: Run,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        check_mode(run.compile, settings.accumulate)
        super().__init__(model, optimizer, schedule, settings.ema, run)
        self.settings, self.metadata = settings, dict(metadata or {})
        self.state: Mapping[str, Any] = {}
        self.saved = 0  # the step of last.pth
        self.first = 0  # the step that `train` began with

    @property
    def passes(self) -> int:
        """Forward passes done so far: where the sampler of the training images must start."""
        return self.step * self.settings.accumulate

    @property
    def finished(self) -> bool:
        """Whether the last step is done, or the training ends early (`loop.patience`)."""
        return self.step >= self.steps or 0 < self.settings.patience <= self.since_best

    def train(
        self,
        batches: Iterable[Any],
        validate: Validate | None = None,
        net: Compilable | None = None,
        dynamic: bool | None = None,
    ) -> M:
        """Train until the schedule's last step.

        Args:
            batches: endless, from `passes` on; each has `to(device)` and `image_ids`.
            validate: tests the model every `validate_every` steps and at the end.
            net: the model's net, compiled while the training lasts if --compile asks for it.
            dynamic: True for images of many sizes: torch.compile uses dynamic shapes, and cuDNN does not benchmark
                its algorithms.

        Returns:
            The model to keep (`averaged`).

        Raises:
            UserError, LostProcessError, Stopped: a loss is not finite, a process has died, a signal asked to stop.
        """
        self.scalars = Scalars(self.run.work_dir, self.run.backends)
        self.scalars.forget_after(self.step, not self.validation_due)
        with compiled(net, self.run.compile, dynamic=dynamic), float32_products(self.run.precision):
            self._train(batches, validate, fixed=not dynamic)
        self.scalars.close()
        return self.averaged

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; learning rates and schedule are those of the present config.

        Raises:
            UserError: the checkpoint is of another net or optimizer, has no moving average where one is asked for (or
                the reverse), or is of another seed, other classes or images (`check_conditions`).
        """
        check_conditions(state, self.metadata, self.run)
        try:
            self.restore(state)
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"this checkpoint cannot be resumed here ({reason}): it is of another net, optimizer or loop.ema; "
                "resume it with its own config, or give it as --init-from"
            ) from error
        self.saved, self.state = self.step, {name: value for name, value in state.items() if name not in WEIGHTS}
        changed = changed_values(state.get("config", ""), self.metadata.get("config", ""))
        if changed:
            logger.warning("the config differs from the checkpoint's and is used as it is now: %s", "; ".join(changed))
        logger.info("resumed at step %d of %d", self.step, self.steps)

    def save(self, name: str, window: Mapping[str, Any] | None = None) -> None:
        """Write a checkpoint, on the main process.

        Args:
            name: of the file in the run's folder.
            window: losses that the log has not shown yet (`LossWindow.state`).
        """
        if is_main_process():
            save_checkpoint(self.run.work_dir / name, {**self.metadata, **self.capture(window or {})})
        if name == LAST:
            self.saved = self.step

    def _train(self, batches: Iterable[Any], validate: Validate | None, fixed: bool) -> None:
        model = distribute(self.model, self.run.device)
        self.window.begin()
        self.first = self.step
        if self.validation_due and validate is not None:
            self._validate(validate)
        source = iter(batches) if not self.finished else iter(())
        stop = StopSignals(self.run.device, self._what_is_saved)
        with stop as signals, self._saved_after_error(signals), explain_lost_process():
            while not self.finished:
                with timed_convolutions(self.run.device, wanted=fixed):  # a validation's inputs have other sizes
                    self._update(model, list(islice(source, self.settings.accumulate)))
                self._every(validate is not None)
                if number := signals.agreed():  # before a validation, which may take longer than a cluster waits
                    self._stop(number)
                if self.validation_due and validate is not None:
                    self._validate(validate)
            if number := signals.agreed():  # sent during the last step or its validation
                self._stop(number)

    def _update(self, model: nn.Module, batches: list[Any]) -> None:
        """One optimizer step, on the mean of the gradients of these batches."""
        self.keep()
        seed_step(self.run.seed, self.step)
        model.train()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.schedule(self.step)
        for i, batch in enumerate(batches):
            batch = batch.to(self.run.device)
            last = i == len(batches) - 1
            begin_batch(self.run.compile)
            with no_gradient_exchange(model, not last), precision_context(self.run.precision, self.run.device):
                values = model(batch)
                total = torch.stack([v.float() for k, v in values.items() if k.startswith("loss")]).sum()
            with no_gradient_exchange(model, not last):
                torch.autograd.backward(self.scaler.scale(total / len(batches)))
            self.window.add(values, total.detach(), batch.image_ids)
        average_bn(self.model)
        self.window.steps += 1
        if self.settings.clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.whole = False
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        self.step, self.whole = self.step + 1, True

    def _every(self, validates: bool) -> None:
        s, last = self.settings, self.finished
        validating = validates and (last or (s.validate_every > 0 and self.step % s.validate_every == 0))
        saving = last or validating or self.step % s.checkpoint_every == 0
        if self.step % s.log_every == 0 or saving:
            self._log()
        elif self.step - self.first in EARLY:
            self._log(early=True)
        self.validation_due = validating
        if saving:
            self.save(LAST)

    def _log(self, early: bool = False) -> None:
        """Log the means since the last line; an early line is for the reader alone, and its steps count in the next."""
        if not self.window.steps:
            return
        means, images_per_second, seconds_per_step = self.window.read(restart=not early)
        speed = images_per_second * get_world_size()
        lr = self.rates[0] * self.schedule(self.step - 1)
        if not early:
            self.schedule.observe(means)
            self.scalars.add(self.step, {"lr": lr, **means, "images_per_second": speed})
        parts = " ".join(f"{k.removeprefix('loss_')} {v:.3f}" for k, v in means.items() if k != "loss")
        line = f"step {self.step:{len(str(self.steps))}}/{self.steps}  loss {means['loss']:.3f} ({parts})  lr {lr:.2g}"
        logger.info("%s  %.1f images/s  %s left", line, speed, clock((self.steps - self.step) * seconds_per_step))

    def _stop(self, number: int) -> None:
        self.save(LAST, self.window.state())  # so that a schedule sees the same means as without the stop
        raise Stopped(number, f"stopped at step {self.step}; {how_to_go_on(self.run)}")

    def _what_is_saved(self) -> str:
        return f"step {self.saved} is saved; {how_to_go_on(self.run)}" if self.saved else "no step was saved yet"

    @contextmanager
    def _saved_after_error(self, signals: StopSignals) -> Iterator[None]:
        """Save after any error, before signals count again: torchrun sends SIGTERM when another process has failed."""
        try:
            yield
        except Exception as error:
            self._save_after_error(signals, error)
            raise

    def _save_after_error(self, signals: StopSignals, cause: Exception) -> None:
        """Save the last whole state, if it is sound, without an exchange: other processes may hang."""
        signals.wait_for_none()
        if not is_main_process():
            return
        try:
            if self.step > self.saved and self.roll_back():
                self.save(LAST, self.window.own_state())
        except Exception as error:  # the first error is the one to be raised
            logger.error("the state of step %d could not be saved: %s", self.step, error)
        if self.saved:
            lost = isinstance(cause, LostProcessError)  # the only cause that may have gone away by itself
            remedy = how_to_go_on(self.run) if lost else "remove the cause, then run the command again with --resume"
            logger.error("the error came after step %d, which is saved; %s", self.saved, remedy)

    def _validate(self, validate: Validate) -> None:
        """Validate what last.pth has, keep the best, and save that it is done."""
        sample = self.settings.validate_images if self.settings.validate_every else 0
        figures = validate(self.averaged, sample) if sample else validate(self.averaged)
        best = self.is_best(self.settings.best, figures)
        if sample and self.finished:
            figures = validate(self.averaged)
        self.figures, self.validation_due = figures, False
        self.schedule.observe(figures)
        self.scalars.add(self.step, figures)
        where = f" (sample of {sample} test images)" if sample and not self.finished else ""
        told = "  ".join(f"{name} {'-' if math.isnan(v) else f'{v:.4g}'}" for name, v in figures.items())
        logger.info("step %d%s  %s", self.step, where, told)
        if best:
            self.save(BEST)
        self.save(LAST)
        if self.finished and self.step < self.steps:
            logger.info("ends early: %s had no new best in %d validations", self.settings.best, self.since_best)
        self.window.begin()
