"""Train a localizer (App. C) in stages, validate it on the true class by 1-crop, and write the page.

    figures = train_localizer(load_config("configs/loc_r50.py"), run)

The stages are 1_rpn (the per-class RPN) or 1_regression (crop regression), and, if the config has a section `rcnn`,
2_proposals (the RPN's proposals on the training images) and 3_rcnn (the R-CNN stage, rcnn_training.py). Each has a
folder in the run's, with scalars.json and last.pth; --resume continues a killed run in the stage where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from torch import nn

from resdet.data.localization.regions import ProposalCache
from resdet.data.localization.settings import LocalizationData
from resdet.data.sampling import TrainSampler, spread_evenly
from resdet.engine.config import Config, build, build_call
from resdet.engine.distributed import get_rank, get_world_size, images_per_pass, is_main_process
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.run import Run
from resdet.engine.training import Plan, begin, metadata_of
from resdet.errors import UserError
from resdet.localization.class_rpn import ClassRPN
from resdet.metrics.localization_error import Guesses, localization_error
from resdet.recipes.localization.build import (
    Localizer,
    build_localization_data,
    build_localizer,
    initialise_net,
    require_localizer,
)
from resdet.recipes.localization.inference import InferenceMode, LocalizedBoxes, localize_all
from resdet.recipes.localization.page import write_localizer_page
from resdet.recipes.localization.rcnn_build import has_rcnn
from resdet.recipes.localization.rcnn_training import RCNNStage
from resdet.recipes.stages import publish_checkpoints, run_of_stage

FIGURE = "test/localization_error"  # in percent; of the true class's box by the centre crop
RPN, REGRESSION = "1_rpn", "1_regression"  # folders of the first stage
PROPOSALS, RCNN = "2_proposals", "3_rcnn"  # folders of the R-CNN's stages


@dataclass(frozen=True)
class Stage:
    """One stage of a run."""

    folder: str  # name of its folder in the run's
    do: Callable[[Run], None]  # runs the stage in that folder, or loads its result if it is finished


class LocalizerTraining:
    """The stages of one training, and the results that later stages use.

    Attributes:
        model: the trained localizer, after the first stage.
        proposals: of the training images, after the second stage.
        found: predicted boxes, of the first stage's last validation.
        figures: results of the last validations, by name.

    Args:
        cfg: the whole config.
        run: the run that the stages are part of.

    Raises:
        UserError: the config lacks a key, or its values or data do not fit.
    """

    def __init__(self, cfg: Config, run: Run) -> None:
        require_localizer(cfg, "model.net", "data.train", "data.test", "optimizer", "schedule", "loop")
        self.cfg, self.run = cfg, run
        self.settings = build_call(LoopSettings, cfg.loop)
        self.settings.check_figures([FIGURE], build(cfg.schedule))
        self.data: LocalizationData = build_localization_data(cfg)
        self.rcnn = RCNNStage(cfg, self.data, self.settings) if has_rcnn(cfg) else None
        self.model: Localizer | None = None
        self.proposals: ProposalCache | None = None
        self.found: LocalizedBoxes | None = None
        self.figures: dict[str, float] = {}

    def train(self, run: Run) -> None:
        """The first stage: train the localizer in `run.work_dir`, or resume there, and validate it."""
        cfg, classes = self.cfg, self.data.test.classes
        assert self.data.train is not None
        model = build_localizer(cfg, classes)
        plan = Plan(self.data.images, cfg.optimizer, build(cfg.schedule), self.settings)
        metadata = metadata_of(cfg, classes, model.stride_on, self.data.train.ids)
        loop = begin(model, plan, run, metadata, lambda model: initialise_net(model, run.init_from))
        sampler = TrainSampler(
            len(self.data.train), images_per_pass(self.data.images, self.settings.accumulate), run.seed,
            rank=get_rank(), world=get_world_size(), start=loop.passes,
        )  # fmt: skip
        self.model = loop.train(self.data.training(sampler, run.device), self.validate, model.net)
        if self.found is None:  # resumed after the last step
            self.validate(self.model)

    def propose(self, run: Run) -> None:
        """The second stage: cache the trained localizer's proposals on the training images."""
        assert self.rcnn is not None
        assert self.model is not None
        self.proposals = self.rcnn.propose(self.model, run)

    def train_rcnn(self, run: Run) -> None:
        """The third stage: train the R-CNN on these proposals."""
        assert self.rcnn is not None
        assert self.model is not None
        assert self.proposals is not None
        self.rcnn.train(self.model, self.proposals, run)
        self.figures |= self.rcnn.figures

    def validate(self, model: nn.Module, images: int = 0) -> dict[str, float]:
        """Localization error of the true class's box by the centre crop on the test set, in percent.

        Args:
            model: the localizer.
            images: number of test images, evenly spaced; 0: the whole set, whose results are kept.
        """
        data = self.data
        if images:
            data = replace(data, test=data.test.subset(spread_evenly(len(data.test), images)))
        truth = data.test.truth()
        labels = truth.labels[:, None]
        found = localize_all([cast(Localizer, model.eval())], data, self.run, labels, InferenceMode())
        figures = {FIGURE: localization_error(Guesses(labels, found.boxes[0]), truth).localization}
        if not images:
            self.found, self.figures = found, figures
        return figures


def stages_of(job: LocalizerTraining) -> list[Stage]:
    """The stages of the config, in order."""
    stages = [Stage(RPN if job.cfg.model.type is ClassRPN else REGRESSION, job.train)]
    if job.rcnn is not None:
        stages += [Stage(PROPOSALS, job.propose), Stage(RCNN, job.train_rcnn)]
    return stages


def train_localizer(cfg: Config, run: Run) -> dict[str, float]:
    """Run all stages and write the page. Returns the errors of the validations in percent.

    The first stage's last.pth is also copied to the run's folder: evaluation takes it as --checkpoint, and
    3_rcnn/last.pth as --rcnn.

    Args:
        cfg: a localizer's config.
        run: `resume` is None or "auto".

    Raises:
        UserError: the config is incomplete, or --resume or --init-from do not fit.
    """
    if run.resume not in (None, "auto"):
        raise UserError(f"--resume {run.resume}: give --resume alone, each stage of a localizer has its own checkpoint")
    job = LocalizerTraining(cfg, run)
    stages = stages_of(job)
    runs = [run_of_stage(run, stage.folder) for stage in stages]
    for stage, own in zip(stages, runs, strict=True):
        stage.do(own)
        if own is runs[0] and is_main_process():
            publish_checkpoints(own.work_dir, run.work_dir)
    if is_main_process() and job.found is not None:
        trained = [own.work_dir for own in runs if own.work_dir.name != PROPOSALS]
        refined = None if job.rcnn is None else job.rcnn.error
        write_localizer_page(cfg, run, job.data.test, job.found, trained, refined)
    return job.figures
