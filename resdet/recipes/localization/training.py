"""Train a localizer (App. C) stage by stage, test it by its centre crop with the true class, write the page.

    figures = train_localizer(load_config("configs/loc_r50.py"), run)

Each stage has a folder in the run's, with its scalars.json and last.pth; a killed run goes on with --resume in the
stage where it was. `stages_of` names them: the per-class RPN, or the regression from the crop; where the config has a
section `rcnn`, then the RPN's proposals of the training images, and the R-CNN that learns from them (train_rcnn.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import nn

from resdet.data.sampling import TrainSampler
from resdet.data.settings import LocalizationData
from resdet.engine.checkpoint import LAST, PREVIOUS, find_resume
from resdet.engine.compiled import compiled
from resdet.engine.config import Config, build, build_call
from resdet.engine.distributed import get_rank, get_world_size, is_main_process
from resdet.engine.loop import LoopSettings, TrainLoop, images_a_pass
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run, make_folder
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
from resdet.recipes.localization.inference import Located, Test, localize_all
from resdet.recipes.localization.page import write_localizer_page
from resdet.recipes.localization.rcnn_build import has_rcnn
from resdet.recipes.localization.rcnn_proposals import ProposalCache, forget_proposals
from resdet.recipes.localization.rcnn_training import RCNNStage
from resdet.recipes.stages import forget_checkpoints, publish_checkpoints, run_of_stage

FIGURE = "test/localization_error"  # by the centre crop, of the true class's box
RPN, REGRESSION = "1_rpn", "1_regression"  # folders of the first stage
PROPOSALS, RCNN = "2_proposals", "3_rcnn"  # and of the others, where there are any
BEST = "best.pth"  # where loop.best asks for it


@dataclass(frozen=True)
class Stage:
    """One part of the run: its folder's name, and what does it, or reads it where it is finished."""

    folder: str
    do: Callable[[Run], None]


class LocalizerTraining:
    """A config's data and settings, and the answers of the last test.

    Raises:
        UserError: the config lacks something, or its data do not fit.
    """

    def __init__(self, cfg: Config, run: Run) -> None:
        require_localizer(cfg, "model.net", "data.train", "data.test", "optimizer", "schedule", "loop")
        self.cfg, self.run = cfg, run
        self.settings = build_call(LoopSettings, cfg.loop)
        self.data: LocalizationData = build_localization_data(cfg)
        self.rcnn = RCNNStage(cfg, self.data, self.settings) if has_rcnn(cfg) else None
        self.model: Localizer | None = None
        self.proposals: ProposalCache | None = None
        self.located: Located | None = None
        self.figures: dict[str, float] = {}

    def train(self, run: Run) -> None:
        """The first stage in `run.work_dir`, from where a resumed run left it, and its test."""
        cfg, classes = self.cfg, self.data.test.classes
        make_folder(run.work_dir)
        state = find_resume(run.work_dir, run.resume)
        model = build_localizer(cfg, classes)
        if state is None:
            initialise_net(model, run.init_from)
        if run.resume is None:  # not earlier: after a mistake in the config or the weights all is as it was
            forget_older_run(self.run)
        model.to(run.device)
        sgd = build_call(build_sgd, cfg.optimizer, model=model, images=self.data.images)
        facts = {"config": cfg.pretty_text, "classes": list(classes), "stride_on": model.stride_on}
        loop = TrainLoop(model, sgd, build(cfg.schedule), self.settings, run, facts)
        if state is not None:
            loop.resume(state)
        assert self.data.train is not None
        accumulate = self.settings.accumulate
        sampler = TrainSampler(
            len(self.data.train), images_a_pass(self.data.images, accumulate), run.seed,
            rank=get_rank(), world=get_world_size(), start=loop.step * accumulate,
        )  # fmt: skip
        with compiled(model.net, run.compile):
            trained = loop(self.data.training(sampler, run.device), self.validate)
        if self.located is None:  # resumed at the end
            self.validate(trained)
        self.model = cast(Localizer, trained)

    def propose(self, run: Run) -> None:
        """The second stage: what the first one's model proposes in the training images."""
        assert self.rcnn is not None
        assert self.model is not None
        self.proposals = self.rcnn.propose(self.model, run)

    def train_rcnn(self, run: Run) -> None:
        """The third stage: the R-CNN, on these proposals."""
        assert self.rcnn is not None
        assert self.model is not None
        assert self.proposals is not None
        self.rcnn.train(self.model, self.proposals, run)
        self.figures |= self.rcnn.figures

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Localization error of the true class's box, by the centre crop, in percent."""
        truth = self.data.test.truth()
        labels = truth.labels[:, None]
        self.located = localize_all([cast(Localizer, model.eval())], self.data, self.run, labels, Test())
        error = localization_error(Guesses(labels, self.located.boxes[0]), truth).localization
        self.figures = {FIGURE: error}
        return self.figures


def stages_of(job: LocalizerTraining) -> list[Stage]:
    """What the config has trained, in order."""
    stages = [Stage(RPN if job.cfg.model.type is ClassRPN else REGRESSION, job.train)]
    if job.rcnn is not None:
        stages += [Stage(PROPOSALS, job.propose), Stage(RCNN, job.train_rcnn)]
    return stages


def forget_older_run(run: Run) -> None:
    """A new run begins in an empty folder: nothing of an older one, of whatever stages, can be taken for its own."""
    folders = _folders(run)
    if is_main_process():
        forget_proposals(run.work_dir / PROPOSALS)
        for folder in folders:
            (folder.work_dir / BEST).unlink(missing_ok=True)
    forget_checkpoints(folders)


def _folders(run: Run) -> list[Run]:
    """The run's own folder, and those of all stages that any config has."""
    return [run, *(run_of_stage(run, name) for name in (RPN, REGRESSION, PROPOSALS, RCNN))]


def train_localizer(cfg: Config, run: Run) -> dict[str, float]:
    """Train, test, write the page. Returns the tests' errors in percent.

    The first stage's last.pth is the run's too: what a test takes (recipes/localization/evaluate.py), with
    3_rcnn/last.pth where there is one. Without --resume the checkpoints and proposals of an older run in the folder
    are removed.
    """
    if run.resume not in (None, "auto"):
        raise UserError(f"--resume {run.resume}: give --resume alone, each stage of a localizer has its own checkpoint")
    if run.resume is None:
        _refuse_own_weights(run)
    job = LocalizerTraining(cfg, run)
    stages = stages_of(job)
    runs = [run_of_stage(run, stage.folder) for stage in stages]
    for stage, own in zip(stages, runs, strict=True):
        stage.do(own)
        if own is runs[0] and is_main_process():
            publish_checkpoints(own.work_dir, run.work_dir)
    if is_main_process() and job.located is not None:
        trained = [own.work_dir for own in runs if own.work_dir.name != PROPOSALS]
        refined = None if job.rcnn is None else job.rcnn.error
        write_localizer_page(cfg, run, job.data.test, job.located, trained, refined)
    return job.figures


def _refuse_own_weights(run: Run) -> None:
    """A new run replaces these files, and its last stage reads again what it starts from."""
    own = {(folder.work_dir / name).resolve() for folder in _folders(run) for name in (LAST, PREVIOUS, BEST)}
    if run.init_from and Path(run.init_from).resolve() in own:
        raise UserError(
            f"--init-from {run.init_from} is the run's own, which a new run replaces; choose another --work-dir, or go "
            "on with --resume"
        )
