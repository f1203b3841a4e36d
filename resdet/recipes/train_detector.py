"""Train Faster R-CNN by approximate joint training (Sect. 4.3, App. A), evaluate it, write its page.

train_detector(load_config("configs/voc07_r50.py"), run)
"""

from __future__ import annotations

import logging
from typing import Any

from torch import nn

from resdet.data.annotations import DetectionDataset
from resdet.data.loading import detection_loader
from resdet.data.sampling import TrainSampler, aspect_groups
from resdet.data.transforms import build_augmentation
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.engine.checkpoint import find_resume
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.distributed import get_rank, get_world_size, is_main_process
from resdet.engine.loop import LoopSettings, TrainLoop, images_a_pass
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.metrics.voc_ap import VocResult
from resdet.nets.weights import load_weights, read_weights
from resdet.recipes.evaluate_voc import detect_all, figures_of, print_result, score
from resdet.recipes.write_page import write_detector_page

logger = logging.getLogger("resdet")


def train_detector(cfg: Config, run: Run) -> VocResult:
    """Train, evaluate on the test set, write the page. Returns the last evaluation."""
    require(cfg, "a detector", "model", "data", "optimizer", "schedule", "loop")
    data, settings = build(cfg.data), build_call(LoopSettings, cfg.loop)
    model = build_detector(cfg, data["train"], run).to(run.device)
    optimizer = build_call(build_sgd, cfg.optimizer, model=model, images=data["images"])
    facts = {"config": cfg.pretty_text, "classes": list(data["train"].classes), "stride_on": model.stride_on}
    loop = TrainLoop(model, optimizer, build(cfg.schedule), settings, run, facts)
    state = find_resume(run.work_dir, run.resume)
    if state:
        loop.resume(state)

    sampler = TrainSampler(
        len(data["train"]), images_a_pass(data["images"], settings.accumulate), run.seed,
        aspect_groups(data["train"].table.aspect_ratios()),
        get_rank(), get_world_size(), start=loop.step * settings.accumulate,
    )  # fmt: skip
    pin = run.device.type == "cuda"
    loader = detection_loader(
        data["train"], data["resizer"], sampler, build_augmentation(data["augment"]), data["workers"], pin
    )
    trained = loop(loader, validate=lambda net: figures_of(evaluate(net, data, run)[0]))
    result, detections = evaluate(trained, data, run)
    if is_main_process():
        print_result(result, data["test"], detections, data["method"])
        write_detector_page(trained, cfg, run, data, result, detections)
    return result


def build_detector(cfg: Config, dataset: DetectionDataset, run: Run) -> FasterRCNN:
    """The config's detector with its starting weights.

    Raises:
        UserError: the head's classes are not the data's, or the weights do not fit.
    """
    model: FasterRCNN = build(cfg.model)
    if model.num_classes != len(dataset.classes):
        raise UserError(
            f"model.num_classes is {model.num_classes} but the training set has {len(dataset.classes)} classes "
            f"({', '.join(dataset.classes[:5])}, ...): set model.num_classes={len(dataset.classes)}"
        )
    if run.init_from:
        logger.info("%s", load_weights(model, read_weights(run.init_from), allow_missing=("rpn.", "head.")))
    elif not run.resume:
        logger.warning("no --init-from: the trunk starts from random weights with BN frozen, which hardly trains")
    return model


def evaluate(model: nn.Module, data: dict[str, Any], run: Run) -> tuple[VocResult, Any]:
    """AP on the config's test set, and the detections."""
    detections = detect_all(model, data["test"], data["resizer"], run, data["test_images"], data["workers"])
    return score(detections, data["test"], data["method"]), detections
