"""A classifier's parts from its config: data, net, a trained net."""

from __future__ import annotations

from pathlib import Path

import torch

from resdet.classification.classifier import Classifier, Net
from resdet.data.classification.cifar import Cifar10
from resdet.data.settings import ClassificationData, Data
from resdet.engine.config import Config, build, build_call
from resdet.engine.run import same_classes
from resdet.errors import UserError
from resdet.nets.ghost_bn import use_ghost_batches
from resdet.weights.weights import load_weights, read_weights


def build_data(cfg: Config, train: bool = True) -> Data:
    """The config's data sets, the training set only if asked for, and how they are fed."""
    wanted = {key: value for key, value in cfg.data.items() if train or key != "train"}
    return build(wanted) if "type" in wanted else build_call(ClassificationData, wanted)


def build_net(cfg: Config, data: Data) -> Net:
    """The config's net, for these classes; a CifarResNet with CIFAR-10's mean image.

    Raises:
        UserError: fc has another number of outputs.
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
    """The config's net with weights of any known origin, ready to test.

    Other projects' files do not name their classes: they are taken to be the data's, in the data's order.
    """
    weights = read_weights(path)
    if weights.origin == "resdet":
        same_classes(weights.classes, data.test.classes, f"{path} and data.test")
    net = build_net(cfg, data)
    load_weights(net, weights)
    return Classifier(net).eval().to(memory_format=torch.channels_last)
