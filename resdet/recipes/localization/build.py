"""Build a localizer's data and model from its config, or load a trained one.

data = build_localization_data(cfg)
model = build_localizer(cfg, data.test.classes)
model = load_localizer(cfg, data.test.classes, Path("runs/loc_r50/last.pth"))
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.settings import LocalizationData
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.run import same_classes
from resdet.errors import UserError
from resdet.localization.class_rpn import ClassRPN
from resdet.localization.crop_regression import CropRegression
from resdet.localization.rcnn import LocalizationRCNN
from resdet.nets.ghost_bn import use_ghost_batches
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights
from resdet.weights.values import check_values
from resdet.weights.weights import is_weight

Localizer = ClassRPN | CropRegression
KINDS = {ClassRPN: "a per-class RPN", CropRegression: "a crop regression"}
# Prefixes of weights that a classifier's checkpoint lacks, or has for other classes: they stay as initialized.
NEW = ("conv.", "objectness.", "scores.", "deltas.", "net.fc.")

logger = logging.getLogger("resdet")


def is_localizer(cfg: Config) -> bool:
    """Whether the config's model is a localizer."""
    model = cfg.get("model")
    return isinstance(model, dict) and model.get("type") in KINDS


def require_localizer(cfg: Config, *keys: str) -> None:
    """Check that a config has a localizer, and `keys` such as "data.test".

    Raises:
        UserError: the model is no localizer, or a key is missing.
    """
    require(cfg, "a localizer", "model", *keys)
    if not is_localizer(cfg):
        known = ", ".join(kind.__name__ for kind in KINDS)
        raise UserError(f"{cfg.filename}: its model is no localizer ({known}); use a config such as loc_r50")


def build_localization_data(cfg: Config, train: bool = True) -> LocalizationData:
    """The config's section `data`, with the training set only if `train`.

    Raises:
        UserError: the sets have different classes; a training image has no box; or `train`, and the test set has no
            ground truth for the evaluation at the end of training.
    """
    data = build_call(LocalizationData, {key: value for key, value in cfg.data.items() if train or key != "train"})
    if train and not data.test.labelled:
        raise UserError(
            f"data.test: the boxes of 'test' are not public, but training ends with an evaluation; set "
            f"data.test.image_set=val in {cfg.filename}"
        )
    if data.train is not None:
        same_classes(data.train.classes, data.test.classes, "data.train and data.test")
        _refuse_images_without_boxes(data.train)
    return data


def build_localizer(cfg: Config, classes: Sequence[str]) -> Localizer:
    """The config's model, with random weights.

    Raises:
        UserError: it has another number of classes than `classes`.
    """
    model: Localizer = build(cfg.model)
    if model.num_classes != len(classes):
        raise UserError(
            f"model.num_classes is {model.num_classes} but the data have {len(classes)} classes "
            f"({', '.join(classes[:5])} ...): set model.num_classes={len(classes)}"
        )
    if cfg.get("ghost_batch"):
        use_ghost_batches(model, cfg.ghost_batch)
    return model


def initialise_net(model: Localizer | LocalizationRCNN, source: str | None) -> None:
    """Load a classifier's weights into the net, from a file or name that `read_weights` takes; log what is missing."""
    if not source:
        logger.warning("no --init-from: the net is trained from random weights, not from a classifier as in the paper")
        return
    logger.info("%s", load_weights(model, read_weights(source), allow_missing=NEW))


def load_localizer(cfg: Config, classes: Sequence[str], path: Path) -> Localizer:
    """The config's model in eval mode, with the weights of a resdet checkpoint.

    Raises:
        UserError: the file is no localizer, is of another kind or net, or has other classes than `classes`.
    """
    require_localizer(cfg)
    state = read_checkpoint(path)
    found = kind_of(state.get("model", {}))
    if found is LocalizationRCNN:
        raise UserError(f"{path} is {named(found)}, no localizer: give it as --rcnn, and a localizer as --checkpoint")
    if found is None:
        raise UserError(f"{path} is no localizer; train one with resdet train-loc, --init-from {path} if it is a net")
    if found is not cfg.model.type:
        raise UserError(f"{path} is {named(found)}, {cfg.filename} has {KINDS[cfg.model.type]}; give its own config")
    same_classes(state.get("classes", ()), classes, f"{path} and data.test")
    model = build_localizer(cfg, classes)
    fill(model, state, path, cfg)
    return model.eval()


def fill(model: nn.Module, state: dict[str, Any], path: Path, cfg: Config) -> None:
    """Load the model's weights from a checkpoint.

    Raises:
        UserError: names or shapes differ: the checkpoint is of another net.
    """
    check_values({name: tensor for name, tensor in state["model"].items() if is_weight(name)}, path)
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        raise UserError(f"{path} does not fit {cfg.filename}: {lines[0]} Use the config of its training") from None


def kind_of(state: dict[str, Any]) -> type | None:
    """The class of the model that a state dict belongs to, a localizer's or LocalizationRCNN; None for other models."""
    if "objectness.weight" in state:
        return ClassRPN
    if "deltas.weight" not in state:
        return None
    return LocalizationRCNN if "scores.weight" in state else CropRegression


def named(kind: type) -> str:
    """The name of a class of models, for messages."""
    return KINDS.get(kind, "an R-CNN stage")


def _refuse_images_without_boxes(images: LocalizationDataset) -> None:
    boxes = np.bincount(images.truth().image, minlength=len(images))
    without = np.flatnonzero(boxes == 0)
    if len(without):
        raise UserError(
            f"data.train: {len(without)} of {len(images)} images have no box (first: {images.ids[without[0]]}) and "
            "cannot be trained on; set data.train.with_boxes=True to leave them out"
        )
