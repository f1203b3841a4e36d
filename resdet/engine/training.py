"""Where a training begins, or resumes from a checkpoint.

plan = Plan(images=16, optimizer=cfg.optimizer, schedule=build(cfg.schedule), loop=settings)
training = begin(model, plan, run, metadata_of(cfg, classes, model.net.stride_on), initialize=load_pretrained)
trained = training.train(loader_from(training.passes), validate)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from torch import nn

from resdet.engine.checkpoint import find_resume
from resdet.engine.compiled import Net, compiled
from resdet.engine.config import Config, build_call
from resdet.engine.loop import LoopSettings, TrainLoop, Validate
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run, make_folder
from resdet.engine.schedule import Schedule

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Plan:
    """How one model is trained.

    Args:
        images: images per optimizer step, over all processes and accumulated passes.
        optimizer: arguments of `build_sgd` but for the model and the images: a config's section `optimizer`.
        schedule: number of steps, and the learning rate at each.
        loop: a config's section `loop`.
    """

    images: int
    optimizer: Mapping[str, Any]
    schedule: Schedule
    loop: LoopSettings


@dataclass(frozen=True)
class Training(Generic[M]):
    """A training that has begun: `train` runs it to its end.

    Attributes:
        model: on the run's device, initialized or restored.
        loop: at the step where the training goes on.
        state: the checkpoint that was resumed; None: a new training.
    """

    model: M
    loop: TrainLoop
    state: Mapping[str, Any] | None

    @property
    def passes(self) -> int:
        """Forward passes done so far: where the sampler of the training images must start."""
        return self.loop.step * self.loop.settings.accumulate

    @property
    def finished(self) -> bool:
        """Whether the resumed checkpoint is that of the last step."""
        return self.loop.step >= self.loop.steps

    def train(
        self,
        batches: Iterable[Any],
        validate: Validate | None = None,
        net: Net | None = None,
        dynamic: bool | None = None,
    ) -> M:
        """Train until the schedule's last step.

        Args:
            batches: endless, from `passes` on.
            validate: returns figures of a model; called as `plan.loop` says.
            net: the model's net, compiled while the training lasts if --compile asks for it.
            dynamic: of torch.compile: True for images of many sizes.

        Returns:
            The model to keep: the moving average of the weights if the config asks for one.
        """
        if net is None:
            return cast(M, self.loop(batches, validate))
        with compiled(net, self.loop.run.compile, dynamic=dynamic):
            return cast(M, self.loop(batches, validate))


def begin(
    model: M,
    plan: Plan,
    run: Run,
    metadata: Mapping[str, Any] | None = None,
    initialize: Callable[[M], object] | None = None,
    check: Callable[[Mapping[str, Any]], None] | None = None,
) -> Training[M]:
    """Make the folder, resume a checkpoint or initialize the model, and set up the optimizer and the loop.

    Args:
        model: only its parameters that require a gradient are trained.
        plan: images per step, optimizer, schedule and loop settings.
        run: `work_dir` is this training's folder; `resume` says whether to look for a checkpoint.
        metadata: what every checkpoint holds besides the state of the training (`metadata_of`).
        initialize: loads pretrained weights into the model, while it is on the CPU; not called on a resume.
        check: called with the checkpoint before anything is restored; raises UserError to refuse it.

    Raises:
        UserError: the folder cannot be made, the checkpoint does not fit, or `plan.optimizer` has unknown arguments.
    """
    make_folder(run.work_dir)
    state = find_resume(run.work_dir, run.resume)
    if state is not None and check is not None:
        check(state)
    if state is None and initialize is not None:
        initialize(model)
    model.to(run.device)
    optimizer = build_call(build_sgd, plan.optimizer, model=model, images=plan.images)
    loop = TrainLoop(model, optimizer, plan.schedule, plan.loop, run, metadata)
    if state is not None:
        loop.resume(state)
    return Training(model, loop, state)


def metadata_of(cfg: Config, classes: Sequence[str], stride_on: str | None) -> dict[str, Any]:
    """What a checkpoint says of its model: the config's text, the names of the classes, and where blocks have stride.

    Args:
        cfg: the config of the training.
        classes: names, by label.
        stride_on: which convolution of a bottleneck block has the stride, "1x1" or "3x3" (nets/resnet.py).
    """
    return {"config": cfg.pretty_text, "classes": list(classes), "stride_on": stride_on}
