"""Train a classifier (Sect. 3.4): the trunk that a detector starts from.

    train_classifier(load_config("configs/shapes_cls.py"), run)

Data, net, loop; then BN statistics over the training set (App. A), the test, and a checkpoint with both.
"""

from __future__ import annotations

import logging
import math
from typing import cast

import numpy as np
import torch
from torch import nn

from resdet.classification.classifier import Classifier, Net
from resdet.data.cifar import Cifar10
from resdet.data.loading import Images
from resdet.data.resident import ResidentImages
from resdet.data.sampling import TrainSampler
from resdet.data.settings import ClassificationData, Data
from resdet.engine.checkpoint import find_resume
from resdet.engine.compiled import compiled
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.distributed import gather_objects, get_rank, get_world_size
from resdet.engine.loop import LoopSettings, TrainLoop, images_a_pass
from resdet.engine.optimizer import build_sgd
from resdet.engine.precision import precision_context
from resdet.engine.run import Run, same_classes
from resdet.errors import UserError
from resdet.metrics.topk import topk_error
from resdet.nets.ghost_bn import use_ghost_batches
from resdet.nets.weights import load_weights, read_weights
from resdet.recipes.precise_bn import PreciseBN

logger = logging.getLogger("resdet")


def train_classifier(cfg: Config, run: Run) -> dict[str, float]:
    """Train, compute BN statistics if the config asks, test. Returns the test's figures (errors in percent)."""
    require(cfg, "a classifier", "net", "data.train", "data.test", "optimizer", "schedule", "loop")
    data, settings = build_data(cfg), build_call(LoopSettings, cfg.loop)
    train_set = cast(Images | ResidentImages, data.train)
    same_classes(train_set.classes, data.test.classes, "data.train and data.test")
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
    finished = state is not None and "precise_bn" in state and loop.step >= loop.steps

    sampler = TrainSampler(
        len(train_set), images_a_pass(data.images, settings.accumulate), run.seed,
        rank=get_rank(), world=get_world_size(), start=loop.step * settings.accumulate,
    )  # fmt: skip

    def validate(model: nn.Module) -> dict[str, float]:
        return test_classifier(cast(Classifier, model), data, run)

    with compiled(net, run.compile):
        loop(data.training(sampler, run.device), validate)
    statistics = build_call(PreciseBN, cfg.precise_bn)
    if statistics.images and not finished:
        kept = cast(Classifier, loop.averaged)
        loop.facts["precise_bn"] = statistics.compute(kept, data, run)
        loop.figures = test_classifier(kept, data, run)
        logger.info("with BN statistics of %d images: %s", loop.facts["precise_bn"], _line(loop.figures))
        loop.save("last.pth")
    return loop.figures


def build_data(cfg: Config, train: bool = True) -> Data:
    """The config's data sets, the training set only if asked for, and how they are fed."""
    wanted = {key: value for key, value in cfg.data.items() if train or key != "train"}
    return build(wanted) if "type" in wanted else build_call(ClassificationData, wanted)


def build_net(cfg: Config, data: Data) -> Net:
    """The config's net, for these classes; with the training set's mean image if that is CIFAR-10.

    Raises:
        UserError: fc has another number of outputs.
    """
    net: Net = build(cfg.net)
    if net.fc is None or net.fc.out_features != len(data.test.classes):
        raise UserError(f"the data have {len(data.test.classes)} classes: set net.num_classes to that")
    if isinstance(data.train, Cifar10):
        net.preprocess.mean.copy_(data.train.mean_image)
    if cfg.get("ghost_batch"):
        use_ghost_batches(net, cfg.ghost_batch)
    return net


def test_classifier(model: Classifier, data: Data, run: Run) -> dict[str, float]:
    """Top-1 and top-5 error of the centre crop, in percent, over all processes' images."""
    model.eval()
    own = np.arange(get_rank(), len(data.test), get_world_size())
    scores, labels = [], []
    for batch in data.testing(own, run.device):
        with precision_context(run.precision, run.device):
            scores.append(model.predict(batch.images.to(run.device)).cpu().numpy())
        labels.append(batch.labels.cpu().numpy())
    scores, labels = gather_objects(scores), gather_objects(labels)
    table, truth = np.concatenate(scores), np.concatenate(labels)
    return {f"test/top{k}_error": topk_error(table, truth, k) for k in (1, 5) if k < table.shape[1]}


def _line(figures: dict[str, float]) -> str:
    return "  ".join(f"{k.removeprefix('test/')} {v:.2f}" for k, v in figures.items() if not math.isnan(v))
