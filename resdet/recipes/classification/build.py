"""Build a classifier's data and net from a config, or load a trained one."""

from __future__ import annotations

from pathlib import Path

import torch

from resdet.classification.classifier import Classifier
from resdet.data.classification.cifar import Cifar10
from resdet.data.classification.settings import ClassificationData, Data
from resdet.engine.config import Config, build, build_call
from resdet.engine.run import same_classes
from resdet.errors import UserError
from resdet.nets.backbone import Net
from resdet.nets.ghost_bn import use_ghost_batches
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights


def build_data(cfg: Config, train: bool = True) -> Data:
    """Build a config's section `data`: the data sets and their loaders.

    Args:
        cfg: a classifier's config.
        train: False: without the training set, whose files are then not needed.
    """
    wanted = {key: value for key, value in cfg.data.items() if train or key != "train"}
    return build(wanted) if "type" in wanted else build_call(ClassificationData, wanted)


def build_net(cfg: Config, data: Data) -> Net:
    """Build a config's net, with random weights.

    Args:
        cfg: its sections `net` and `ghost_batch`.
        data: the classes; of CIFAR-10 the net also gets the mean image of the training set.

    Raises:
        UserError: the fully connected layer has another number of outputs than there are classes.
    """
    net: Net = build(cfg.net)
    if net.fc is None or net.fc.out_features != len(data.test.classes):
        raise UserError(f"the data have {len(data.test.classes)} classes: set net.num_classes to that")
    if isinstance(data.train, Cifar10) and net.preprocess.mean.shape == data.train.mean_image.shape:
        net.preprocess.mean.copy_(data.train.mean_image)
    if cfg.get("ghost_batch"):
        use_ghost_batches(net, cfg.ghost_batch)
    return net


def load_classifier(cfg: Config, data: Data, path: Path) -> Classifier:
    """Build a config's net and load weights of any known origin.

    Args:
        cfg: of the net.
        data: the classes. Files of other projects do not name theirs: they must be those of the data, in that order.
        path: the file.

    Returns:
        The classifier on the CPU, in evaluation mode.

    Raises:
        UserError: the file cannot be read, does not fit the net, or has other classes.
    """
    weights = read_weights(path)
    if weights.origin == "resdet":
        same_classes(weights.classes, data.test.classes, f"{path} and data.test")
    net = build_net(cfg, data)
    load_weights(net, weights)
    return Classifier(net).eval().to(memory_format=torch.channels_last)
