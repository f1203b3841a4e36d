"""The four-step alternating training of Faster R-CNN (Ren et al. 2015, Sect. 3.2), as in the paper.

    1. an RPN, from the ImageNet weights;
    2. a Fast R-CNN from the ImageNet weights, on the proposals of step 1;
    3. an RPN on the trunk of step 2, which stays fixed;
    4. the head on the same fixed trunk, on the proposals of step 3.

Steps 3 and 4 share a trunk, so the result is one detector. Each step has a folder below the run's, with its own
scalars.json and last.pth; --resume continues an interrupted run in the step where it stopped. The proposals for a head
are computed during its training, for each image as augmented.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from resdet.boxes.proposals import Proposals
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.engine.config import Config, build_call, require
from resdet.engine.distributed import images_per_pass, is_main_process
from resdet.engine.loop import Validate
from resdet.engine.run import Run
from resdet.engine.training import Plan
from resdet.errors import UserError
from resdet.recipes.detection.score import Evaluation
from resdet.recipes.detection.trainer import DetectorTraining
from resdet.recipes.section_types import Step
from resdet.recipes.stages import publish_checkpoints, run_of_stage
from resdet.structures import Batch

FOLDERS = ("1_rpn", "2_head", "3_rpn", "4_head")
logger = logging.getLogger("resdet")


class _Proposer:
    """Computes the proposals on which a model trains its head, with another detector.

    `deepcopy` of that model (the EMA makes one) shares this detector instead of cloning it.
    """

    def __init__(self, detector: FasterRCNN) -> None:
        self.detector = detector.train()  # training mode: as many proposals as in training

    def __call__(self, batch: Batch) -> Proposals:
        return self.detector.proposals(batch)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Proposer:
        return self


def train_alternating(cfg: Config, run: Run) -> Evaluation:
    """Train in four steps, evaluate on the test set, write the page.

    Args:
        cfg: a detector's config with sections `alternating.rpn` and `alternating.head`.
        run: of all four steps; `resume` is None or "auto".

    Returns:
        The evaluation of the model of step 4.

    Raises:
        UserError: the config lacks something, or --resume names a file.
    """
    require(cfg, "a detector", "alternating.rpn", "alternating.head")
    if run.resume not in (None, "auto"):
        raise UserError(f"--resume {run.resume}: give --resume alone, each of the four steps has its own checkpoint")
    job = DetectorTraining(cfg, run)
    for part in ("rpn", "head"):  # find a mistake now, not when its step begins days later
        images_per_pass(_step(cfg, part).images, job.settings.accumulate, f"alternating.{part}.images")
    runs = [run_of_stage(run, name) for name in FOLDERS]

    first = job.new_model()
    first = _train_step(job, runs[0], first, "rpn", _trunk_of(first), job.load_pretrained)
    second = job.new_model()
    second.proposer = _Proposer(first)
    stages = [*_trunk_of(second), *second.net.head_stages]
    second = _train_step(job, runs[1], second, "head", stages, job.load_pretrained)
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
    initialize: Callable[[FasterRCNN], None] | None = None,
    validate: Validate | None = None,
) -> FasterRCNN:
    """Train `part`, "rpn" or "head", and the net's `stages`, except those that the config freezes."""
    step = _step(job.cfg, part)
    logger.info("%s: %d images per step", run.work_dir.name, step.images)
    model.learns = (part,)
    train_only(model, part, stages)
    optimizer = {**job.cfg.optimizer, "reference_images": step.reference_images}
    plan = Plan(step.images, optimizer, step.schedule, job.settings)
    return job.train(model, plan, run, initialize, validate)


def _step(cfg: Config, part: str) -> Step:
    return build_call(Step, cfg.alternating[part])


def train_only(model: FasterRCNN, part: str, stages: Sequence[str]) -> None:
    """Set `requires_grad` for one step of alternating training.

    Args:
        model: the detector; it is changed in place.
        part: "rpn" or "head"; the other one is fixed.
        stages: stages of the net to train, such as "conv4"; those in `model.frozen` stay fixed.
    """
    model.requires_grad_(False)
    chosen: list[nn.Module] = [model.rpn if part == "rpn" else model.head]
    chosen += [getattr(model.net, stage) for stage in stages if stage not in model.frozen]
    for module in chosen:
        module.requires_grad_(True)


def _trunk_of(model: FasterRCNN) -> list[str]:
    """The stages of the net before RoI pooling."""
    return [f"conv{i}" for i in range(1, 6) if f"conv{i}" not in model.net.head_stages]
