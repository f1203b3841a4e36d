"""Train a classifier (Sect. 3.4): the trunk that a detector starts from.

    train_classifier(load_config("configs/shapes_cls.py"), run)

Data, net, loop; then BN statistics over the training set (App. A), the test, and a checkpoint with both.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict
from typing import cast

import numpy as np
import torch
from torch import nn

from resdet.classification.classifier import Classifier
from resdet.data.classification.imagenet import UNKNOWN
from resdet.data.classification.resident import ResidentImages
from resdet.data.loading import Images
from resdet.data.sampling import TrainSampler
from resdet.engine.checkpoint import find_resume
from resdet.engine.compiled import compiled
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.distributed import get_rank, get_world_size, is_main_process
from resdet.engine.loop import LoopSettings, TrainLoop, images_a_pass
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run, same_classes
from resdet.errors import UserError
from resdet.nets.precise_bn import PreciseBN
from resdet.recipes.classification.build import build_data, build_net
from resdet.recipes.classification.evaluate import Answers, test_classifier
from resdet.recipes.classification.page import write_classifier_page
from resdet.recipes.classification.precise_bn import compute_precise_bn
from resdet.weights.weights import load_weights, read_weights

logger = logging.getLogger("resdet")


def train_classifier(cfg: Config, run: Run) -> dict[str, float]:
    """Train, compute BN statistics if the config asks, test, write the page. Returns the test's errors in percent."""
    require(cfg, "a classifier", "net", "data.train", "data.test", "optimizer", "schedule", "loop")
    data, settings = build_data(cfg), build_call(LoopSettings, cfg.loop)
    train_set = cast(Images | ResidentImages, data.train)
    same_classes(train_set.classes, data.test.classes, "data.train and data.test")
    if UNKNOWN in np.asarray(data.test.labels):
        raise UserError(
            "data.test has no labels, and a training ends with a test; eval_cls writes answers for such a set"
        )
    state = find_resume(run.work_dir, run.resume)
    net = build_net(cfg, data)
    if run.init_from and state is None:
        logger.info("%s", load_weights(net, read_weights(run.init_from), allow_missing=("fc.",)))
    classifier = Classifier(net, build(cfg.get("augment"))).to(run.device).to(memory_format=torch.channels_last)
    optimizer = build_call(build_sgd, cfg.optimizer, model=classifier, images=data.images)
    facts = {"config": cfg.pretty_text, "classes": list(train_set.classes), "stride_on": net.stride_on}
    loop = TrainLoop(classifier, optimizer, build(cfg.schedule), settings, run, facts)
    if state is not None:
        loop.resume(state)
    statistics = build_call(PreciseBN, cfg.get("precise_bn", {}))
    finished = state is not None and state.get("bn_statistics") == asdict(statistics) and loop.step >= loop.steps

    sampler = TrainSampler(
        len(train_set), images_a_pass(data.images, settings.accumulate), run.seed,
        rank=get_rank(), world=get_world_size(), start=loop.step * settings.accumulate,
    )  # fmt: skip

    answers: list[Answers] = []

    def validate(model: nn.Module) -> dict[str, float]:
        answers[:] = [test_classifier(cast(Classifier, model), data, run)]
        return answers[0].figures()

    with compiled(net, run.compile):
        trained = cast(Classifier, loop(data.training(sampler, run.device), validate))
    if statistics.images and not finished:
        loop.facts |= {
            "precise_bn": compute_precise_bn(statistics, trained, data, run),
            "bn_statistics": asdict(statistics),
        }
        loop.figures = validate(trained)
        logger.info("with BN statistics of %d images: %s", loop.facts["precise_bn"], _line(loop.figures))
        loop.save("last.pth")
    if not answers:  # resumed at the end
        validate(trained)
    if is_main_process():
        write_classifier_page(trained.net, cfg, run, data, answers[0])
    return loop.figures


def _line(figures: dict[str, float]) -> str:
    return "  ".join(f"{k.removeprefix('test/')} {v:.2f}" for k, v in figures.items() if not math.isnan(v))
