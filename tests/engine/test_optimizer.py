"""Parameter groups: rate per images of a step, settings for biases and BN."""

from __future__ import annotations

import torch
from torch import nn

from resdet.engine.optimizer import build_sgd


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))


def rates(optimizer: torch.optim.Optimizer) -> dict[int, tuple[float, float]]:
    return {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}


def test_the_rate_follows_the_images_of_a_step() -> None:
    model = layers()
    optimizer = build_sgd(model, lr=0.1, images=64, reference_images=256, momentum=0.8, weight_decay=1e-3)
    assert set(rates(optimizer).values()) == {(0.025, 1e-3)}
    assert len(rates(optimizer)) == len(list(model.parameters()))
    assert {g["momentum"] for g in optimizer.param_groups} == {0.8}


def test_caffe_doubles_the_rate_of_biases_and_does_not_decay_them() -> None:
    conv, bn, linear = model = layers()
    found = rates(build_sgd(model, lr=0.1, images=1, reference_images=1, double_bias_lr=True))
    for bias in (conv.bias, linear.bias):
        assert found[id(bias)] == (0.2, 0)
    for other in (conv.weight, linear.weight, bn.weight, bn.bias):  # BN's bias is no bias of Caffe's convolutions
        assert found[id(other)] == (0.1, 1e-4)


def test_bn_without_decay_and_frozen_parameters_left_out() -> None:
    conv, bn, linear = model = layers()
    conv.requires_grad_(False)
    found = rates(build_sgd(model, lr=0.1, images=1, reference_images=1, decay_bn=False))
    assert found.keys() == {id(p) for p in (bn.weight, bn.bias, linear.weight, linear.bias)}
    assert found[id(bn.weight)] == found[id(bn.bias)] == (0.1, 0)
    assert found[id(linear.bias)] == (0.1, 1e-4)
