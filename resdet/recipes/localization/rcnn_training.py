"""Train a localizer's R-CNN stage (App. C): the trained per-class RPN's proposals on disk, then a net that learns them.

    stage = RCNNStage(cfg, data, loop_settings)
    proposals = stage.propose(rpn, run_of_stage(run, "2_proposals"))
    stage.train(rpn, proposals, run_of_stage(run, "3_rcnn"))              # stage.figures

The net starts from the classification weights that the RPN started from (choice: "R-CNN" is fine-tuned from
classification; the paper does not say whether from the RPN's net), its siblings anew. Its figure is the localization
error of the true class's best rescored box, whose proposals are found as those of the training.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import nn

from resdet.data.localization.regions import RegionSampler, region_loader
from resdet.data.settings import LocalizationData
from resdet.engine.checkpoint import find_resume
from resdet.engine.compiled import compiled
from resdet.engine.config import Config, build_call
from resdet.engine.distributed import get_rank, get_world_size
from resdet.engine.loop import LoopSettings, TrainLoop, images_a_pass
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run, make_folder
from resdet.errors import UserError
from resdet.localization.rcnn import LocalizationRCNN
from resdet.metrics.localization_error import Guesses, localization_error
from resdet.recipes.localization.build import Localizer, initialise_net
from resdet.recipes.localization.rcnn_build import build_rcnn, rcnn_section
from resdet.recipes.localization.rcnn_inference import rescore_all
from resdet.recipes.localization.rcnn_proposals import ProposalCache, cache_proposals, weights_digest

FIGURE = "test/rcnn_localization_error"  # of the true class's box, rescored and refined


class RCNNStage:
    """A config's R-CNN stage and the figures of its last test; mistakes in the config are named before any training.

    Raises:
        UserError: the config lacks something, or its numbers do not fit.
    """

    def __init__(self, cfg: Config, data: LocalizationData, settings: LoopSettings) -> None:
        self.cfg, self.data = cfg, data
        self.section = rcnn_section(cfg)
        self.settings = replace(settings, best=FIGURE if settings.best else "")
        images_a_pass(self.section.images, settings.accumulate, "rcnn.images")
        with torch.random.fork_rng(devices=[]):  # what the first stage draws is the same without this one
            build_rcnn(cfg, data.test.classes)
        self.figures: dict[str, float] = {}

    @property
    def error(self) -> float | None:
        """Of the last test, in percent."""
        return self.figures.get(FIGURE)

    def propose(self, rpn: Localizer, run: Run) -> ProposalCache:
        """The proposals of all training images, in `run.work_dir`; what is there is not made again."""
        assert self.data.train is not None
        own = self.section.proposals
        views = self.data.views_of(own.views)
        return cache_proposals(
            rpn.eval(), self.data.train, views, run.work_dir, run, weights_digest([rpn]),
            own.flip, own.count, workers=self.data.workers, skip_unreadable=self.data.skip_unreadable,
        )  # fmt: skip

    def train(self, rpn: Localizer, proposals: ProposalCache, run: Run) -> LocalizationRCNN:
        """Train in `run.work_dir`, from where a resumed run left it, and test. Returns the model.

        Raises:
            UserError: the folder has a stage that was trained on another localizer's proposals.
        """
        train, classes = self.data.train, self.data.test.classes
        assert train is not None
        make_folder(run.work_dir)
        state, digest = find_resume(run.work_dir, run.resume), weights_digest([rpn])
        if state is not None and state.get("proposals") != digest:
            raise UserError(
                f"{run.work_dir} was trained on the proposals of another checkpoint: delete it, to train anew"
            )
        torch.manual_seed(run.seed)  # whatever was drawn before, which a resumed run does not draw again
        model = build_rcnn(self.cfg, classes)
        if state is None:
            initialise_net(model, run.init_from)
        model.to(run.device)
        settings = {**self.cfg.optimizer, **self.section.optimizer}
        sgd = build_call(build_sgd, settings, model=model, images=self.section.images)
        facts = {
            "config": self.cfg.pretty_text, "classes": list(classes), "stride_on": model.stride_on, "proposals": digest,
        }  # fmt: skip
        loop = TrainLoop(model, sgd, self.section.schedule, self.settings, run, facts)
        if state is not None:
            loop.resume(state)
        sampler = RegionSampler(
            train, proposals, self.section.images, run.seed, model.settings, self.settings.accumulate,
            get_rank(), get_world_size(), start=loop.step,
        )  # fmt: skip
        pin = run.device.type == "cuda"
        loader = region_loader(train, sampler, self.data.workers, pin, self.data.skip_unreadable)
        with compiled(model.net, run.compile):
            trained = loop(loader, partial(self.validate, rpn, run))
        self.figures = loop.figures  # a finished stage's are in its checkpoint
        return cast(LocalizationRCNN, trained)

    def validate(self, rpn: Localizer, run: Run, model: nn.Module) -> dict[str, float]:
        """Localization error of the true class's rescored box, in percent."""
        truth, own = self.data.test.truth(), self.section.proposals
        labels = truth.labels[:, None]
        found = rescore_all(
            rpn, cast(LocalizationRCNN, model), self.data.test, labels, self.data.views_of(own.views), run,
            own.flip, own.count, combine=self.section.combine, vote=self.data.vote, workers=self.data.workers,
        )  # fmt: skip
        return {FIGURE: localization_error(Guesses(labels, found.boxes), truth).localization}
