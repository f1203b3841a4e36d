"""A config's detector with the weights of a file: one of our checkpoints, or a detectron2 C4 model.

The net's depth and global context are the file's, all else is the config's: so an ensemble's nets may differ in depth.

model, classes = read_detector(load_config("configs/voc07_r50.py"), "runs/voc07_r50/last.pth")
model, classes = read_detector(load_config("configs/detectron2_r50_c4.py"), "model_final_f97cb7.pkl")
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path

from resdet.data.detection.coco import COCO_CLASSES
from resdet.data.detection.voc import VOC_CLASSES
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.engine.config import Config, ConfigDict, build, require
from resdet.engine.run import same_classes
from resdet.errors import UserError
from resdet.nets.resnet import ResNet
from resdet.weights.weights import Weights, load_weights, read_weights, reads_context, resnet_depth

logger = logging.getLogger("resdet")


def read_detector(cfg: Config, checkpoint: str | Path) -> tuple[FasterRCNN, tuple[str, ...]]:
    """Build the config's detector, load the file's weights. Returns it and the names of its classes.

    Files of other projects hold no names: then they are the config's `data.test.classes`, else COCO's of 80 classes
    and VOC's of 20.

    Raises:
        UserError: the file does not fit the config, or nothing says what its classes are.
    """
    require(cfg, "a detector", "model")
    weights = read_detector_weights(checkpoint)
    model: FasterRCNN = build(_model_of(cfg, weights))
    classes = weights.classes or _usual_classes(cfg, weights)
    if len(classes) != model.num_classes:
        counts = f"{checkpoint} has {len(classes)} classes, {cfg.filename} has {model.num_classes}"
        raise UserError(f"{counts}: give the config that the checkpoint was trained with")
    load_weights(model, weights)
    return model, classes


def read_detector_weights(checkpoint: str | Path) -> Weights:
    """The weights of a file that holds a detector.

    Raises:
        UserError: it holds none.
    """
    weights = read_weights(checkpoint)
    if not weights.is_detector:
        raise UserError(f"{checkpoint}: holds a trunk and no detector; train one with --init-from {checkpoint}")
    return weights


def read_detectors(cfg: Config, checkpoints: Sequence[str | Path]) -> tuple[list[FasterRCNN], tuple[str, ...]]:
    """As `read_detector`, of several checkpoints: an ensemble, of nets of any depth.

    Raises:
        UserError: no checkpoint, one that does not fit, or two of different classes.
    """
    if not checkpoints:
        raise UserError("which weights? give at least one checkpoint")
    found = [read_detector(cfg, checkpoint) for checkpoint in checkpoints]
    classes = found[0][1]
    for checkpoint, (_, own) in zip(checkpoints, found, strict=True):
        same_classes(own, classes, f"{checkpoint} and {checkpoints[0]}")
    return [model for model, _ in found], classes


def _model_of(cfg: Config, weights: Weights) -> ConfigDict:
    """The config's model, with the depth of net and the global context that the weights have."""
    model, depth = copy.deepcopy(cfg.model), resnet_depth(weights.state)
    if issubclass(model.net.type, ResNet) and depth not in (None, model.net.get("depth", depth)):
        logger.info("%s holds a ResNet-%d, %s says %d", weights.source, depth, cfg.filename, model.net.depth)
        model.net.depth = depth
    context = reads_context(weights.state)
    if not model.get("head"):
        model.head = {"type": HeadSettings}
    if model.head.get("context", False) != context:
        logger.info("%s was trained with%s global context", weights.source, "" if context else "out")
        model.head.context = context
    return model


def _usual_classes(cfg: Config, weights: Weights) -> tuple[str, ...]:
    count = len(weights.state["head.scores.bias"]) - 1
    given = cfg.get("data", {}).get("test", {}).get("classes")
    if given is not None:
        return tuple(given)
    usual = {len(names): names for names in (VOC_CLASSES, COCO_CLASSES)}.get(count)
    if usual is None:
        raise UserError(f"{weights.source}: {count} classes without names; set data.test.classes in the config")
    return usual
