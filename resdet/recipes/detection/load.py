"""Build a config's detector with the weights of a file: a checkpoint of resdet, or a detectron2 C4 model.

The config is that of the training (recipes/trained.py) where the file keeps one. Depth and global context are always
taken from the weights, so that the nets of an ensemble may differ in them.

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
from resdet.engine.config import Config, ConfigDict, build, plain, require
from resdet.engine.run import same_classes
from resdet.errors import UserError
from resdet.nets.resnet import ResNet
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights
from resdet.weights.weights import Weights, has_global_context, resnet_depth

logger = logging.getLogger("resdet")


def read_detector(cfg: Config, checkpoint: str | Path) -> tuple[FasterRCNN, tuple[str, ...]]:
    """Build a config's detector and load the weights of a file.

    Args:
        cfg: a config with a section `model`.
        checkpoint: a file.

    Returns:
        The detector on the CPU, and the names of its classes. Files of other projects do not have the names: then
        they are `data.test.classes` of the config, else COCO's for 80 classes and VOC's for 20.

    Raises:
        UserError: the file does not fit the config, or the names of the classes are not known.
    """
    require_detector(cfg)
    weights = read_detector_weights(checkpoint)
    classes, count = weights.classes or _usual_classes(cfg, weights), cfg.model.num_classes
    if len(classes) != count:  # before memory is taken for as many
        counts = f"{checkpoint} has {len(classes)} classes, {cfg.filename} has {count}"
        raise UserError(f"{counts}: give the config that the checkpoint was trained with")
    model: FasterRCNN = build(_model_of(cfg, weights))
    load_weights(model, weights)
    return model, classes


def read_detector_weights(checkpoint: str | Path) -> Weights:
    """Read the weights of a detector.

    Raises:
        UserError: the file cannot be read, or has only a trunk.
    """
    weights = read_weights(checkpoint)
    if not weights.is_detector:
        raise UserError(f"{checkpoint} has a trunk but no detector; train one with --init-from {checkpoint}")
    return weights


def read_detectors(nets: Sequence[tuple[Config, Path]]) -> tuple[list[FasterRCNN], tuple[str, ...]]:
    """Build the detectors of an ensemble, whose nets may differ.

    Args:
        nets: a config with a section `model`, and the file of weights, of one or more detectors.

    Returns:
        The detectors on the CPU, and the names of their classes.

    Raises:
        UserError: there is no checkpoint, one does not fit the config, or their classes differ.
    """
    if not nets:
        raise UserError("there is no checkpoint to load; give at least one")
    found = [read_detector(cfg, checkpoint) for cfg, checkpoint in nets]
    classes = found[0][1]
    for (_, checkpoint), (_, own) in zip(nets, found, strict=True):
        same_classes(own, classes, f"{checkpoint} and {nets[0][1]}")
    return [model for model, _ in found], classes


def require_detector(cfg: Config) -> None:
    """Check that the model is a detector, which a config that comes with a file of weights may not be.

    Raises:
        UserError: there is none, or the model is of another kind.
    """
    require(cfg, "a detector", "model.type", "model.net.type", "model.num_classes")
    kind = cfg.model.type
    if not isinstance(kind, type) or not issubclass(kind, FasterRCNN):
        name = getattr(kind, "__name__", kind)
        raise UserError(f"{cfg.filename}: its model is of the type {name}, no detector (FasterRCNN)")


def _model_of(cfg: Config, weights: Weights) -> ConfigDict:
    """The config's section `model`, with the depth and the global context of the weights."""
    model, depth = ConfigDict(copy.deepcopy(plain(cfg.model))), resnet_depth(weights.state)
    resnet = isinstance(model.net.type, type) and issubclass(model.net.type, ResNet)
    if resnet and depth not in (None, model.net.get("depth", depth)):
        logger.info("%s is of a ResNet-%d, %s says %d", weights.source, depth, cfg.filename, model.net.depth)
        model.net.depth = depth
    context = has_global_context(weights.state)
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
