"""Train a classifier (Sect. 3.4); its trunk is what a detector or localizer starts from.

    errors = train_classifier(load_config("configs/shapes_cls.py"), run)

After the loop: BN statistics over the training set if the config asks for them (App. A), a test, last.pth, the page.
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
from resdet.data.classification.cls_loc import UNKNOWN
from resdet.data.classification.loading import ClassificationDataset
from resdet.data.classification.resident import ResidentDataset
from resdet.data.classification.settings import Data
from resdet.data.sampling import TrainSampler
from resdet.engine.checkpoint import LAST
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.distributed import get_rank, get_world_size, images_per_pass, is_main_process
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.run import Run, same_classes
from resdet.engine.training import Plan, begin, metadata_of
from resdet.errors import UserError
from resdet.nets.precise_bn import PreciseBN
from resdet.recipes.classification.build import build_data, build_net
from resdet.recipes.classification.evaluate import TEST, Answers, figure_names, test_classifier
from resdet.recipes.classification.page import write_classifier_page
from resdet.recipes.classification.precise_bn import compute_precise_bn
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights

logger = logging.getLogger("resdet")


def train_classifier(cfg: Config, run: Run) -> dict[str, float]:
    """Train, compute BN statistics if the config asks for them, test, write the page.

    Args:
        cfg: a classifier's config.
        run: folder, device, precision and seed; checkpoints, log and page are written to its folder.

    Returns:
        The errors on the test set in percent, by name: "test/top1_error" and, with more than five classes, top-5.

    Raises:
        UserError: the config lacks something or does not fit the data, or the checkpoint to resume does not fit.
    """
    require(cfg, "a classifier", "net", "data.train", "data.test", "optimizer", "schedule", "loop")
    data = build_data(cfg)
    _check_sets(data)
    settings, statistics = build_call(LoopSettings, cfg.loop), build_call(PreciseBN, cfg.get("precise_bn", {}))
    settings.check_best(list(figure_names(TEST, len(data.test.classes))))
    loop = _begin(cfg, data, settings, run)
    results: list[Answers] = []

    def validate(model: nn.Module, images: int = 0) -> dict[str, float]:
        answers = test_classifier(cast(Classifier, model), data, run, images)
        if not images:
            results[:] = [answers]
        return answers.figures()

    sampler = TrainSampler(
        len(_train_set(data)), images_per_pass(data.images, settings.accumulate), run.seed,
        rank=get_rank(), world=get_world_size(), start=loop.passes,
    )  # fmt: skip
    complete = loop.finished and loop.state.get("bn_statistics") == asdict(statistics)
    trained = loop.train(data.training(sampler, run.device), validate, loop.model.net)
    if statistics.images and not complete:
        count = compute_precise_bn(statistics, trained, data, run)
        loop.metadata |= {"precise_bn": count, "bn_statistics": asdict(statistics)}
        loop.figures = validate(trained)
        logger.info("with BN statistics of %d images: %s", count, _line(loop.figures))
        loop.save(LAST)
    if not results:  # resumed at the end
        validate(trained)
    if is_main_process():
        write_classifier_page(trained.net, cfg, run, data, results[0])
    return loop.figures


def _train_set(data: Data) -> ClassificationDataset | ResidentDataset:
    assert data.train is not None
    return data.train


def _check_sets(data: Data) -> None:
    same_classes(_train_set(data).classes, data.test.classes, "data.train and data.test")
    if UNKNOWN in np.asarray(data.test.labels):
        raise UserError(
            "data.test has no labels, and a training ends with a test; eval_cls writes answers for such a set"
        )


def _begin(cfg: Config, data: Data, settings: LoopSettings, run: Run) -> TrainLoop[Classifier]:
    """Begin or resume; the fully connected layer keeps its random weights if those of --init-from have none."""

    def load_pretrained(model: Classifier) -> None:
        if run.init_from:
            logger.info("%s", load_weights(model.net, read_weights(run.init_from), allow_missing=("fc.",)))

    net = build_net(cfg, data)
    model = Classifier(net, build(cfg.get("augment"))).to(memory_format=torch.channels_last)
    plan, train = Plan(data.images, cfg.optimizer, build(cfg.schedule), settings), _train_set(data)
    ids = [train.image_id(i) for i in range(len(train))]
    return begin(model, plan, run, metadata_of(cfg, train.classes, net.stride_on, ids), load_pretrained)


def _line(figures: dict[str, float]) -> str:
    return "  ".join(f"{k.removeprefix('test/')} {v:.2f}" for k, v in figures.items() if not math.isnan(v))
