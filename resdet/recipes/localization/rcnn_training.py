"""Train a localizer's R-CNN stage (App. C): cache the trained per-class RPN's proposals, then train a net on them.

    stage = RCNNStage(cfg, data, loop_settings)
    proposals = stage.propose(rpn, run_of_stage(run, "2_proposals"))
    stage.train(rpn, proposals, run_of_stage(run, "3_rcnn"))              # stage.figures

The net is initialized from the classifier's weights that the RPN was initialized from (choice: R-CNN is fine-tuned from
classification; the paper does not say whether from the RPN's net); the per-class layers are new. It is validated by the
localization error of the true class's best rescored box, with proposals as in its training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from resdet.data.localization.regions import ProposalCache, RegionSampler, region_loader
from resdet.data.localization.settings import LocalizationData
from resdet.data.sampling import StepShare, spread_evenly
from resdet.engine.config import Config
from resdet.engine.distributed import get_rank, get_world_size, images_per_pass
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.run import Run
from resdet.engine.training import Plan, begin, metadata_of
from resdet.errors import UserError
from resdet.localization.rcnn import LocalizationRCNN
from resdet.metrics.localization_error import Guesses, localization_error
from resdet.recipes.localization.build import Localizer, initialise_net
from resdet.recipes.localization.rcnn_build import build_rcnn, rcnn_section
from resdet.recipes.localization.rcnn_inference import RescoreSettings, rescore_all
from resdet.recipes.localization.rcnn_proposals import CacheSettings, ProposalSpec, cache_proposals, weights_digest

FIGURE = "test/rcnn_localization_error"  # in percent; of the true class's box, rescored and refined


class RCNNStage:
    """A config's R-CNN stage. Its section of the config is checked here, before the first stage is trained.

    Attributes:
        figures: of the last validation.

    Args:
        cfg: the whole config.
        data: its section `data`.
        settings: its section `loop`.

    Raises:
        UserError: the config lacks a key, or its values do not fit.
    """

    def __init__(self, cfg: Config, data: LocalizationData, settings: LoopSettings) -> None:
        self.cfg, self.data = cfg, data
        self.section = rcnn_section(cfg)
        self.settings = replace(settings, best=FIGURE if settings.best else "")
        images_per_pass(self.section.images, settings.accumulate, "rcnn.images")
        with torch.random.fork_rng(devices=[]):  # the first stage's initialization must not depend on this one
            build_rcnn(cfg, data.test.classes)
        self.figures: dict[str, float] = {}

    @property
    def error(self) -> float | None:
        """Localization error in percent, of the last validation; None before the first."""
        return self.figures.get(FIGURE)

    def propose(self, rpn: Localizer, run: Run) -> ProposalCache:
        """The proposals of all training images, in `run.work_dir`. Parts that exist are reused."""
        assert self.data.train is not None
        settings = CacheSettings(workers=self.data.workers, skip_unreadable=self.data.skip_unreadable)
        return cache_proposals([rpn], self.data.train, self._spec(), run.work_dir, run, settings=settings)

    def train(self, rpn: Localizer, proposals: ProposalCache, run: Run) -> LocalizationRCNN:
        """Train in `run.work_dir`, or resume there, and validate. Returns the trained model.

        Args:
            rpn: computes the proposals of the test images at validation.
            proposals: of the training images.
            run: of this stage.

        Raises:
            UserError: the R-CNN in the folder was trained on the proposals of another localizer.
        """
        train, classes = self.data.train, self.data.test.classes
        assert train is not None
        digest = weights_digest([rpn])

        def check(state: Mapping[str, Any]) -> None:
            if state.get("proposals") != digest:
                raise UserError(
                    f"{run.work_dir} was trained on the proposals of another checkpoint: delete it to train again"
                )

        torch.manual_seed(run.seed)  # independent of the stages before, which a resumed run skips
        model = build_rcnn(self.cfg, classes)
        optimizer = {**self.cfg.optimizer, **self.section.optimizer}
        plan = Plan(self.section.images, optimizer, self.section.schedule, self.settings)
        metadata = {**metadata_of(self.cfg, classes, model.stride_on, train.ids), "proposals": digest}
        loop = begin(model, plan, run, metadata, lambda model: initialise_net(model, run.init_from), check)
        sampler = RegionSampler(
            train, proposals, self.section.images, run.seed, model.settings,
            StepShare(self.settings.accumulate, get_rank(), get_world_size()), start=loop.step,
        )  # fmt: skip
        pin = run.device.type == "cuda"
        loader = region_loader(train, sampler, self.data.workers, pin, self.data.skip_unreadable)
        trained = loop.train(loader, partial(self.validate, rpn, run), model.net)
        self.figures = loop.figures  # if the stage was finished, from its checkpoint
        return trained

    def validate(self, rpn: Localizer, run: Run, model: nn.Module, images: int = 0) -> dict[str, float]:
        """Localization error of the true class's rescored box on the test set, in percent.

        Args:
            rpn: computes the proposals of the test images.
            run: of this stage.
            model: the R-CNN.
            images: number of test images, evenly spaced; 0: the whole set.
        """
        test = self.data.test.subset(spread_evenly(len(self.data.test), images)) if images else self.data.test
        truth = test.truth()
        labels, rcnn = truth.labels[:, None], cast(LocalizationRCNN, model)
        rule = self.section.combine
        settings = RescoreSettings((rule,), self.data.vote, workers=self.data.workers)
        found = rescore_all([rpn], [rcnn], test, labels, self._spec(), run, settings)[rule]
        return {FIGURE: localization_error(Guesses(labels, found.boxes), truth).localization}

    def _spec(self) -> ProposalSpec:
        """The proposals of training images, and of test images at validation."""
        own = self.section.proposals
        return ProposalSpec(self.data.test_crops(own.views), own.flip, own.count)
