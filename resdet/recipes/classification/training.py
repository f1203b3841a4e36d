"""Train a classifier (Sect. 3.4); its trunk is what a detector or localizer starts from.

    errors = train_classifier(load_config("configs/shapes_cls.py"), run)

After the loop: BN statistics over the training set if the config asks for them (App. A), a test, last.pth, the page.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import nn

from resdet.classification.classifier import Classifier
from resdet.data.classification.cls_loc import UNKNOWN
from resdet.data.classification.loading import ClassificationDataset, CroppedImages
from resdet.data.classification.resident import ResidentDataset
from resdet.data.classification.settings import ClassificationData, Data
from resdet.data.sampling import Draw, TrainSampler
from resdet.engine.checkpoint import LAST
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.distributed import get_rank, get_world_size, images_per_pass, is_main_process
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.run import Run, same_classes
from resdet.engine.training import Plan, begin, metadata_of
from resdet.engine.trial import Trial
from resdet.errors import UserError
from resdet.nets.precise_bn import PreciseBN
from resdet.recipes.automatic import AS_CONFIGURED, Automatic, find_values
from resdet.recipes.classification.build import build_data, build_net
from resdet.recipes.classification.evaluate import TEST, Answers, figure_names, test_classifier
from resdet.recipes.classification.page import write_classifier_page
from resdet.recipes.classification.precise_bn import compute_precise_bn
from resdet.structures import LabelledImages
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights

logger = logging.getLogger("resdet")


def train_classifier(cfg: Config, run: Run, automatic: Automatic = AS_CONFIGURED) -> dict[str, float]:
    """Train, compute BN statistics if the config asks for them, test, write the page.

    Args:
        cfg: a classifier's config.
        run: folder, device, precision and seed; checkpoints, log and page are written to its folder.
        automatic: values of the config that are found first.

    Returns:
        The errors on the test set in percent, by name: "test/top1_error" and, with more than five classes, top-5.

    Raises:
        UserError: the config lacks something or does not fit the data, the checkpoint to resume does not fit, or a
            value was not found.
    """
    require(cfg, "a classifier", "net", "data.train", "data.test", "optimizer", "schedule", "loop")
    data = build_data(cfg)
    _check_sets(data)
    settings, statistics = build_call(LoopSettings, cfg.loop), build_call(PreciseBN, cfg.get("precise_bn", {}))
    settings.check_figures(list(figure_names(TEST, len(data.test.classes))), build(cfg.schedule))
    found = find_values(cfg, run, automatic, partial(_trial, data=data, settings=settings, run=run), fixed=True)
    cfg = found.cfg
    data = replace(data, images=cfg.data.images)
    loop = _begin(cfg, data, settings, run)
    found.write(run)
    results: list[Answers] = []

    def validate(model: nn.Module, images: int = 0) -> dict[str, float]:
        answers = test_classifier(cast(Classifier, model), data, run, images)
        if not images:
            results[:] = [answers]
        return answers.figures()

    complete = loop.finished and loop.state.get("bn_statistics") == asdict(statistics)
    trained = loop.train(_batches(data, data.images, settings, run, loop.passes), validate, loop.model.net)
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

    model, train = _new_model(cfg, data), _train_set(data)
    ids = [train.image_id(i) for i in range(len(train))]
    metadata = metadata_of(cfg, train.classes, model.net.stride_on, ids)
    return begin(model, _plan(cfg, settings), run, metadata, partial(_load_pretrained, run=run))


def _new_model(cfg: Config, data: Data) -> Classifier:
    return Classifier(build_net(cfg, data), build(cfg.get("augment"))).to(memory_format=torch.channels_last)


def _load_pretrained(model: Classifier, run: Run) -> None:
    if run.init_from:
        logger.info("%s", load_weights(model.net, read_weights(run.init_from), allow_missing=("fc.",)))


def _plan(cfg: Config, settings: LoopSettings) -> Plan:
    return Plan(cfg.data.images, cfg.optimizer, build(cfg.schedule), settings)


def _batches(data: Data, images: int, settings: LoopSettings, run: Run, passes: int = 0) -> Iterable[LabelledImages]:
    """Endless training batches of this process, `images` per step, behind so many passes."""
    sampler = TrainSampler(
        len(_train_set(data)), images_per_pass(images, settings.accumulate), run.seed,
        rank=get_rank(), world=get_world_size(), start=passes,
    )  # fmt: skip
    return data.training(sampler, run.device)


def _trial(cfg: Config, data: Data, settings: LoopSettings, run: Run) -> Trial[Classifier]:
    def new_model() -> Classifier:
        model = _new_model(cfg, data)
        _load_pretrained(model, run)
        return model

    batches = partial(_batches, data, settings=settings, run=run)
    return Trial(
        new_model, _plan(cfg, settings), batches, partial(_largest_batch, data), len(_train_set(data)), least=2
    )


def _largest_batch(data: Data, images: int) -> LabelledImages:
    """Black crops of the training's largest size."""
    assert data.train is not None
    if isinstance(data, ClassificationData):
        crops = CroppedImages(data.train, data.train_view, data.skip_unreadable)
        epochs = getattr(data.train_view, "sizes", (0,))  # a crop may grow with the epochs
        height, width = max(crops[Draw(0, epoch, 0)].pixels.shape[:2] for epoch in epochs)
    else:
        height, width = data.train.images.shape[-2:]
    pixels = torch.zeros(images, height, width, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    zeros = torch.zeros(images, dtype=torch.int64)
    return LabelledImages(pixels, zeros, zeros, ["largest"] * images)


def _line(figures: dict[str, float]) -> str:
    return "  ".join(f"{k.removeprefix('test/')} {v:.2f}" for k, v in figures.items() if not math.isnan(v))
