"""Train Faster R-CNN by approximate joint training (Sect. 4.3, App. A), evaluate it, write its page.

train_detector(load_config("configs/voc07_r50.py"), run)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

from torch import nn

from resdet.data.annotations import DetectionDataset
from resdet.data.loading import detection_loader
from resdet.data.sampling import TrainSampler, aspect_groups
from resdet.data.settings import DetectionData
from resdet.data.transforms import build_augmentation
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.engine.checkpoint import find_resume
from resdet.engine.compiled import compiled
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.distributed import gather_objects, get_rank, get_world_size, is_main_process
from resdet.engine.loop import LoopSettings, TrainLoop, images_a_pass
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run, same_classes
from resdet.errors import UserError
from resdet.metrics.voc_ap import FlatDetections
from resdet.nets.weights import load_weights, read_weights
from resdet.recipes.detect_all import detect_all
from resdet.recipes.score_detections import Evaluation, print_evaluation, score
from resdet.recipes.write_detector_page import write_detector_page

logger = logging.getLogger("resdet")


def train_detector(cfg: Config, run: Run) -> Evaluation:
    """Train, evaluate on the test set, write the page. Returns the last evaluation."""
    require(cfg, "a detector", "model", "data.train", "data.test", "optimizer", "schedule", "loop")
    data, settings = build_call(DetectionData, cfg.data), build_call(LoopSettings, cfg.loop)
    train_set = cast(DetectionDataset, data.train)
    same_classes(train_set.classes, data.test.classes, "data.train and data.test")
    state = find_resume(run.work_dir, run.resume)
    model = build_detector(cfg, train_set.classes)
    if state is None:
        initialise(model, run)
    model.to(run.device)
    optimizer = build_call(build_sgd, cfg.optimizer, model=model, images=data.images)
    facts = {"config": cfg.pretty_text, "classes": list(train_set.classes), "stride_on": model.stride_on}
    loop = TrainLoop(model, optimizer, build(cfg.schedule), settings, run, facts)
    if state is not None:
        loop.resume(state)

    sampler = TrainSampler(
        len(train_set), images_a_pass(data.images, settings.accumulate), run.seed,
        aspect_groups(train_set.table.aspect_ratios()),
        get_rank(), get_world_size(), start=loop.step * settings.accumulate,
    )  # fmt: skip
    pin = run.device.type == "cuda"
    loader = detection_loader(train_set, data.resizer, sampler, build_augmentation(data.augment), data.workers, pin)
    answers: list[tuple[Evaluation, FlatDetections]] = []

    def validate(net: nn.Module) -> dict[str, float]:
        answers[:] = [evaluate(net, data, run)]
        return answers[0][0].logged

    with compiled(model.net, run.compile, dynamic=True):
        trained = loop(loader, validate)
    evaluation, detections = answers[0] if answers else evaluate(trained, data, run)  # none: resumed at the end
    if is_main_process():
        print_evaluation(evaluation, data.test, detections)
        write_detector_page(trained, cfg, run, data, evaluation, detections)
    return evaluation


def build_detector(cfg: Config, classes: Sequence[str]) -> FasterRCNN:
    """The config's detector, for these classes.

    Raises:
        UserError: the head has another number of classes.
    """
    model: FasterRCNN = build(cfg.model)
    if model.num_classes != len(classes):
        raise UserError(
            f"model.num_classes is {model.num_classes} but the data have {len(classes)} classes "
            f"({', '.join(classes[:5])} ...): set model.num_classes={len(classes)}"
        )
    return model


def initialise(model: FasterRCNN, run: Run) -> None:
    """Start from --init-from, the RPN and the head anew where the file does not have them."""
    if not run.init_from:
        logger.warning("no --init-from: the trunk starts from random weights with BN frozen, which hardly trains")
        return
    logger.info("%s", load_weights(model, read_weights(run.init_from), allow_missing=("rpn.", "head.")))


def evaluate(model: nn.Module, data: DetectionData, run: Run) -> tuple[Evaluation, FlatDetections]:
    """AP on the config's test set by its rule, and the detections; one process counts for all."""
    detections = detect_all(model, data.test, data.resizer, run, data.test_images, data.workers)
    own = [score(detections, data.test, data.method)] if is_main_process() else []
    return gather_objects(own)[0], detections
