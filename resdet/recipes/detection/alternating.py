"""The four-step alternating training of Faster R-CNN (Ren et al. 2015, Sect. 3.2), which the paper used.

    1. an RPN, from the ImageNet weights;
    2. another net from the ImageNet weights as Fast R-CNN, on the proposals of the first;
    3. the second net's trunk is fixed, and an RPN is trained on it;
    4. the trunk stays fixed, and the head is trained on the proposals of the third step.

Steps 3 and 4 use one trunk: the result is one detector. Each step has a folder in the run's, with its scalars.json and
last.pth; a killed run goes on with --resume in the step where it was. Proposals are computed while the head trains, not
before: what the head sees of a mirrored image are the proposals of the mirrored image.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from resdet.boxes.proposals import Proposals
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.engine.config import Config, build_call, require
from resdet.engine.distributed import is_main_process
from resdet.engine.loop import images_a_pass
from resdet.engine.run import Run
from resdet.engine.schedule import Schedule
from resdet.errors import UserError
from resdet.recipes.detection.score import Evaluation
from resdet.recipes.detection.trainer import DetectorTraining, Validate
from resdet.recipes.stages import forget_checkpoints, publish_checkpoints, run_of_stage
from resdet.structures import Batch

FOLDERS = ("1_rpn", "2_head", "3_rpn", "4_head")
logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class Step:
    """How an RPN step (1 and 3) or a Fast R-CNN step (2 and 4) is trained; a config's `alternating.rpn` and `.head`.

    Args:
        images: in one optimizer step, over all processes.
        reference_images: for which `optimizer.lr` is; the rate follows `images`.
        schedule: as in a config.
    """

    images: int
    reference_images: int
    schedule: Schedule


class _Proposer:
    """Another detector's proposals; a copy of whoever holds it, as a moving average is, shares that detector."""

    def __init__(self, detector: FasterRCNN) -> None:
        self.detector = detector.train()  # for as many proposals as in training

    def __call__(self, batch: Batch) -> Proposals:
        return self.detector.proposals(batch)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Proposer:
        return self


def train_alternating(cfg: Config, run: Run) -> Evaluation:
    """Train in four steps, evaluate on the test set, write the page. Returns the evaluation."""
    require(cfg, "a detector", "alternating.rpn", "alternating.head")
    if run.resume not in (None, "auto"):
        raise UserError(f"--resume {run.resume}: give --resume alone, the four steps have a checkpoint each")
    job = DetectorTraining(cfg, run)
    for part in ("rpn", "head"):  # a mistake is named before the first step, not days later
        images_a_pass(_step(cfg, part).images, job.settings.accumulate, f"alternating.{part}.images")
    runs = [run_of_stage(run, name) for name in FOLDERS]

    if run.resume is None:
        forget_checkpoints(runs)
    first = job.new_model()
    first = _train_step(job, runs[0], first, "rpn", _trunk_of(first), job.initialise)
    second = job.new_model()
    second.proposer = _Proposer(first)
    second = _train_step(job, runs[1], second, "head", [*_trunk_of(second), *second.net.head_stages], job.initialise)
    second.proposer = None
    second = _train_step(job, runs[2], second, "rpn", [])
    second = _train_step(job, runs[3], second, "head", second.net.head_stages, validate=job.validate)
    second.learns = ("rpn", "head")
    if is_main_process():
        publish_checkpoints(runs[3].work_dir, run.work_dir)
    return job.finish(second, list(zip(FOLDERS, runs, strict=True)))


def _train_step(
    job: DetectorTraining,
    run: Run,
    model: FasterRCNN,
    part: str,
    stages: Sequence[str],
    start: Callable[[FasterRCNN], None] | None = None,
    validate: Validate | None = None,
) -> FasterRCNN:
    """Train the RPN or the head and these stages of the net, all but those that the config freezes."""
    step = _step(job.cfg, part)
    logger.info("%s: %d images a step", run.work_dir.name, step.images)
    model.learns = (part,)
    train_only(model, part, stages)
    optimizer = {**job.cfg.optimizer, "reference_images": step.reference_images}
    return job.train(model, run, step.images, optimizer, step.schedule, start, validate)


def _step(cfg: Config, part: str) -> Step:
    return build_call(Step, cfg.alternating[part])


def train_only(model: FasterRCNN, part: str, stages: Sequence[str]) -> None:
    """Require gradients of `part`, "rpn" or "head", and of the net's `stages` but the frozen ones, of nothing else."""
    model.requires_grad_(False)
    chosen: list[nn.Module] = [model.rpn if part == "rpn" else model.head]
    chosen += [getattr(model.net, stage) for stage in stages if stage not in model.frozen]
    for module in chosen:
        module.requires_grad_(True)


def _trunk_of(model: FasterRCNN) -> list[str]:
    """The stages of the net before RoI pooling."""
    return [f"conv{i}" for i in range(1, 6) if f"conv{i}" not in model.net.head_stages]
