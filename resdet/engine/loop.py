"""The training loop, visible: one step is a forward, a backward and an update; everything else is every N steps.

    loop = TrainLoop(model, optimizer, schedule, settings, run)
    loop.resume(checkpoint)                     # optional
    loop(loader, validate=lambda model: {"val/mAP50": ...})

`model(batch)` returns a dict of scalars: those named ``loss_*`` are summed and minimised, the others only logged.
Losses stay on the device and are looked at every `log_every` steps; that is where a NaN is caught, with its images.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resdet.engine.checkpoint import LAST, save_checkpoint
from resdet.engine.distributed import (
    copy_from_main,
    gather_objects,
    get_world_size,
    is_main_process,
    name_a_lost_process,
)
from resdet.engine.log import Scalars
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.engine.schedule import Schedule
from resdet.errors import UserError

logger = logging.getLogger("resdet")
Validate = Callable[[nn.Module], dict[str, float]]


@dataclass(frozen=True)
class LoopSettings:
    """How often what happens; counted in optimizer steps.

    Args:
        log_every: steps between two lines of the log.
        checkpoint_every: steps between two last.pth.
        validate_every: steps between two validations; 0: only at the end.
        accumulate: forward and backward passes for one optimizer step.
        clip: largest norm of the gradient; None: not clipped.
        ema: decay of an exponential moving average of the weights, which is then validated and saved; None: off.
        best: which of the validation's figures decides about best.pth: the highest, of an "..error" the lowest.
            Empty: there is no best.pth. Chosen on the test set, it is no result to report: report last.pth.
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
    """See the module's docstring."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        settings: LoopSettings,
        run: Run,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.optimizer, self.schedule, self.steps = model, optimizer, schedule, schedule.steps
        self.settings, self.run, self.facts = settings, run, facts or {}
        self.rates = [group["lr"] for group in optimizer.param_groups]  # at a factor of one
        self.scaler = torch.amp.GradScaler(run.device.type, enabled=run.precision == "fp16")
        self.ema = _average(model, settings.ema)
        self.step, self.best, self.figures = 0, -math.inf, dict[str, float]()
        self.owes_validation = False
        self.window = _Window()
        self.scalars = Scalars(run.work_dir, run.backends)

    @property
    def averaged(self) -> nn.Module:
        """The model to validate and to keep: the moving average where there is one."""
        return self.model if self.ema is None else self.ema.module

    def __call__(self, loader: Iterable, validate: Validate | None = None) -> nn.Module:
        """Train until the schedule's last step. Returns the model to keep."""
        model = self.model
        if get_world_size() > 1:
            model = _distribute(self.model, self.run.device)
        self.scalars.forget_after(self.step)
        self.window.begin()
        if self.owes_validation and validate is not None:
            self._validate(validate)
        batches = iter(loader) if self.step < self.steps else iter(())
        with _StopSignals() as signals, name_a_lost_process():
            while self.step < self.steps:
                taken = list(islice(batches, self.settings.accumulate))
                self._update(model, taken)
                self.step += 1
                self._every(validate)
                if signals.received and self.step < self.steps:
                    self._stop()
        self.scalars.close()
        return self.averaged

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, with the schedule and the optimizer's settings of the present config.

        Raises:
            UserError: it is of another net, optimizer, EMA or seed.
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
        changed = _changed_lines(state.get("config", ""), self.facts.get("config", ""))
        if changed:
            logger.warning("the config has changed since the checkpoint and is obeyed: %s", "; ".join(changed))
        logger.info("resumed at step %d of %d", self.step, self.steps)

    def _restore(self, state: dict[str, Any]) -> None:
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
        self.owes_validation = not state.get("validated", True)

    def save(self, name: str, validated: bool = True, window: dict[str, Any] | None = None) -> None:
        """Write a checkpoint that `resume` and load_detector read.

        validated: False if a validation is still owed. window: what the log has not shown yet.
        """
        if not is_main_process():
            return
        state = {
            **self.facts,
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
        model.train()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.schedule(self.step)
        for i, batch in enumerate(batches):
            batch = batch.to(self.run.device)
            last = i == len(batches) - 1
            with _no_sync(model, last), precision_context(self.run.precision, self.run.device):
                values = model(batch)
                losses = [v for k, v in values.items() if k.startswith("loss")]
                total = torch.stack([loss.float() for loss in losses]).sum()
            with _no_sync(model, last):
                self.scaler.scale(total / len(batches)).backward()
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
        means, speed, a_step = self.window.read()
        lr = self.rates[0] * self.schedule(self.step - 1)
        self.schedule.observe(means)
        self.scalars.add(self.step, {"lr": lr, **means, "images_per_second": speed * get_world_size()})
        parts = " ".join(f"{k.removeprefix('loss_')} {v:.3f}" for k, v in means.items() if k != "loss")
        left = (self.steps - self.step) * a_step
        line = f"step {self.step:{len(str(self.steps))}}/{self.steps}  loss {means['loss']:.3f} ({parts})  lr {lr:.2g}"
        logger.info("%s  %.1f images/s  %s left", line, speed * get_world_size(), clock(left))

    def _stop(self) -> None:
        self.save(LAST, window=self.window.state())  # a schedule looks at whole windows: the next run ends this one
        work_dir = self.run.whole or self.run.work_dir
        raise UserError(f"stopped at step {self.step}; go on with --work-dir {work_dir} --resume")

    def _validate(self, validate: Validate) -> None:
        copy_from_main(self.averaged)  # what the checkpoint has: BN has followed each process's own images
        try:
            self.figures, best = validate(self.averaged), self.settings.best
        except Exception:
            self.save(LAST, validated=False)  # what a failing validation cannot take back
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


class _Window:
    """The losses since the last line of the log, kept on the device, and the time they took."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Forget all values."""
        self.values: list[Tensor] = []
        self.begin()

    def begin(self) -> None:
        """Count images and time from now on."""
        self.image_ids: list[list[str]] = []
        self.steps = 0
        self.started = time.perf_counter()

    def add(self, values: dict[str, Tensor], total: Tensor, image_ids: list[str]) -> None:
        """Remember one pass; no copy to the host."""
        self.names = ["loss", *values]
        self.values.append(torch.stack([total, *(v.detach().float() for v in values.values())]))
        self.image_ids.append(image_ids)

    def read(self) -> tuple[dict[str, float], float, float]:
        """Means of the losses over all processes, images a second of this one, seconds a step; then begin anew."""
        mean = self._collect().mean(0)
        seconds = time.perf_counter() - self.started
        speed, a_step = sum(map(len, self.image_ids)) / seconds, seconds / max(1, self.steps)
        self.restart()
        return dict(zip(self.names, mean.tolist(), strict=True)), speed, a_step

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on in mid-window; empty where nothing was added."""
        return {"names": self.names, "values": self._collect()} if self.values else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.restart()
        if state:
            self.names, self.values = state["names"], list(state["values"])

    def _collect(self) -> Tensor:
        """The values on the host, their means over all processes [passes, names]; refused if one is not finite."""
        device = self.values[-1].device
        table = torch.stack([v.to(device) for v in self.values]).cpu()
        known = len(table) - len(self.image_ids)  # passes of an earlier run, looked at when it stopped
        broken = (~table.isfinite().all(1)).nonzero().flatten().tolist()
        # All processes stop if one has a NaN: the gradients that they exchanged hold it already.
        first = [(table[i].tolist(), self.image_ids[i - known]) for i in broken[:1]]
        everywhere = gather_objects([(table, first)])
        for _, found in everywhere:
            if found:
                self._refuse(*found[0])
        return torch.stack([t for t, _ in everywhere]).mean(0)

    def _refuse(self, row: list[float], image_ids: list[str]) -> None:
        values = ", ".join(f"{k} {v:.3g}" for k, v in zip(self.names, row, strict=True))
        raise UserError(
            f"the loss is not finite ({values}) for images {', '.join(image_ids)}; nothing was overwritten: "
            "lower optimizer.lr, add loop.clip or schedule.warmup, or look at these images with inspect_data"
        )


class _StopSignals:
    """Ctrl-C and SIGTERM (a cluster's notice) wait for the end of the step, so that what is saved is whole."""

    def __enter__(self) -> _StopSignals:
        self.received = False
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {s: signal.signal(s, self._receive) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: object) -> None:
        if self.received:  # asked twice: at once, without saving
            raise KeyboardInterrupt
        self.received = True


def images_a_pass(images: int, accumulate: int, key: str = "data.images") -> int:
    """Images in one of the passes that make a step, over all processes. key: where the config has `images`.

    Raises:
        UserError: they cannot be shared evenly.
    """
    parts = accumulate * get_world_size()
    if images % parts:
        raise UserError(f"{key}={images} cannot be shared by {parts} passes (loop.accumulate x processes) evenly")
    return images // accumulate


def clock(seconds: float) -> str:
    """Seconds as 1:02:03, or 2:03."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def _changed_lines(before: str, now: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), now.splitlines())
    return [" ".join(line.split()) for line in lines if line[0] in "+-"]


def _average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _distribute(model: nn.Module, device: torch.device) -> DistributedDataParallel:
    ids = [device.index] if device.type == "cuda" else None
    live = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # torch < 2.13
    buffers: dict[str, Any] = {name: live}
    return DistributedDataParallel(model, device_ids=ids, **buffers)


def _no_sync(model: nn.Module, last: bool) -> AbstractContextManager:
    """Processes exchange gradients in the last pass of an accumulated step only."""
    return nullcontext() if last or not isinstance(model, DistributedDataParallel) else model.no_sync()
