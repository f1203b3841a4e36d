"""A training begins or resumes here, for all tasks: `begin`.

`begin` finds the checkpoint (checkpoint.py, `find_resume`), restores it (loop.py, `TrainLoop.resume`) or loads
pretrained weights, and returns the loop. One training step is `TrainLoop._update` in loop.py.

plan = Plan(images=16, optimizer=cfg.optimizer, schedule=build(cfg.schedule), loop=settings)
loop = begin(model, plan, run, metadata_of(cfg, classes, model.net.stride_on, ids), initialize=load_pretrained)
trained = loop.train(loader_from(loop.passes), validate)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resdet.engine.checkpoint import find_resume
from resdet.engine.conditions import conditions_of, images_record
from resdet.engine.config import Config, build_call
from resdet.engine.config_text import config_text
from resdet.engine.distributed import gather_objects, images_per_pass
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run, make_folder
from resdet.engine.run_folder import claim, lock_folder, older_run, recorded_id
from resdet.engine.schedule import Schedule
from resdet.engine.train_state import M
from resdet.errors import UserError

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class Plan:
    """How one model is trained.

    Args:
        images: images per optimizer step, over all processes and accumulated passes.
        optimizer: arguments of `build_sgd` other than the model and the images: a config's section `optimizer`.
        schedule: number of steps, and the factor on the learning rates at each.
        loop: a config's section `loop`.
    """

    images: int
    optimizer: Mapping[str, Any]
    schedule: Schedule
    loop: LoopSettings

    def in_words(self) -> str:
        """What will run, after all scaling with the images per step; `optimizer` must have its lr and reference_images.

        "1,000 steps of 4 images (scaled from 2,000), rate 0.02, x 0.1 at step 700, warm-up of 100 steps".
        """
        schedule = self.schedule.for_images(self.images)
        rate = self.optimizer["lr"] * self.images / self.optimizer["reference_images"]
        scaled = "" if schedule.steps == self.schedule.steps else f" (scaled from {self.schedule.steps:,})"
        steps = f"{schedule.steps:,} steps of {self.images:,} image{'s' * (self.images > 1)}{scaled}"
        return ", ".join(filter(None, [steps, f"rate {rate:g}", schedule.in_words()]))


def begin(
    model: M,
    plan: Plan,
    run: Run,
    metadata: Mapping[str, Any] | None = None,
    initialize: Callable[[M], object] | None = None,
    check: Callable[[Mapping[str, Any]], None] | None = None,
) -> TrainLoop[M]:
    """Lock the run's folder, resume a checkpoint or initialize the model, and set an older run in the folder aside.

    Args:
        model: only its parameters that require a gradient are trained.
        plan: images per step, optimizer, schedule and loop settings.
        run: `work_dir` is this training's folder; `resume` says whether to look for a checkpoint.
        metadata: what every checkpoint holds besides the state of the training (`metadata_of`).
        initialize: loads pretrained weights into the model, while it is on the CPU; not called on a resume.
        check: called with the checkpoint before anything is restored; raises UserError to refuse it.

    Returns:
        The `TrainLoop`, at the step from which training continues.

    Raises:
        UserError: the folder cannot be made or is in use, the checkpoint does not fit, or `plan.optimizer` has unknown
            arguments. The older run is untouched then.
    """
    folder = run.whole or run.work_dir
    make_folder(folder)
    lock_folder(run.identity, folder)
    state = find_resume(run.work_dir, run.resume, recorded_id(run.identity, folder))
    _refuse_unshared_folder(state, run)
    if state is not None and check is not None:
        check(state)
    if state is None and initialize is not None:
        initialize(model)
    model.to(run.device)
    optimizer = build_call(build_sgd, plan.optimizer, model=model, images=plan.images)
    entries = {**(metadata or {}), "conditions": conditions_of(run)}
    loop = TrainLoop(model, optimizer, plan.schedule.for_images(plan.images), plan.loop, run, entries)
    if state is not None:
        loop.resume(state)
    _refuse_own_weights(run, folder)
    images_per_pass(plan.images, plan.loop.accumulate)  # raises: a mistake must not cost the older run its place
    claim(run.identity, folder, run.resume, state, run.command)
    make_folder(run.work_dir)
    if state is not None and loop.finished:
        _say_nothing_is_left(loop)
    else:
        logger.info("training: %s", plan.in_words())
    return loop


def metadata_of(cfg: Config, classes: Sequence[str], stride_on: str | None, image_ids: Iterable[str]) -> dict[str, Any]:
    """What a checkpoint says of its model: config, classes, where blocks have stride, and the images trained on.

    Args:
        cfg: the config of the training.
        classes: names, by label.
        stride_on: which convolution of a bottleneck block has the stride, "1x1" or "3x3" (nets/resnet.py).
        image_ids: of the training set, in its order; a resumed training must have the same.
    """
    return {
        "config": config_text(cfg),
        "classes": list(classes),
        "stride_on": stride_on,
        "images": images_record(image_ids),
    }


def _refuse_unshared_folder(state: Mapping[str, Any] | None, run: Run) -> None:
    """Of processes on several machines all must find the same checkpoint, or each would train another model."""
    steps = gather_objects([-1 if state is None else state["step"]])
    if len(set(steps)) > 1:
        found = ", ".join("none" if step < 0 else f"that of step {step}" for step in steps)
        raise UserError(
            f"--resume: the processes have found different checkpoints in {run.work_dir} ({found}): put the folder on "
            "a disk that all machines share, or copy it to each"
        )


def _say_nothing_is_left(loop: TrainLoop[M]) -> None:
    run, step, steps = loop.run, loop.step, loop.steps
    name = "the run" if run.whole is None else f"the stage {run.work_dir.name}"
    if step > steps:
        logger.warning(
            "the schedule of %s ends at step %d, but its checkpoint is of step %d: nothing is trained, and the figures "
            "are those of step %d; a new run (without --resume) ends at step %d", name, steps, step, step, steps,
        )  # fmt: skip
        return
    remedy = "raise loop.patience" if step < steps else "raise the steps of its schedule"
    logger.info(
        "%s is complete: step %d of %d, nothing is left to train; to train longer, %s", name, step, steps, remedy
    )


def _refuse_own_weights(run: Run, folder: Path) -> None:
    """Refuse initial weights in the run about to be moved to older/, where a later stage would not find them."""
    if run.id or run.resume or run.whole is None or not run.init_from:
        return
    path = Path(run.init_from).resolve()
    if any(own.resolve() in (path, *path.parents) for own in older_run(folder)):
        raise UserError(
            f"--init-from {run.init_from} is the run's own, which a new run replaces; choose another --work-dir, or "
            "continue with --resume"
        )
