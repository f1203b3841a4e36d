"""A training step makes the program wait for the GPU only in NMS, whose number of boxes depends on the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from resdet.classification.classifier import Classifier
from resdet.device_check.check import Found, Setting
from resdet.device_check.families import CLASSES, SIDE, WIDTH, detection, detector, labelled
from resdet.engine.precision import precision_context
from resdet.nets.resnet import ResNet


def check_host_syncs(setting: Setting, found: Found) -> None:
    """Run steps in torch's sync debug mode, in which an operator that waits raises an error."""
    if not setting.on_gpu:
        found.figures["no GPU"] = "the steps ran, but nothing can wait"
    for pooling in ("pool", "align"):
        found.try_part(f"detector, {pooling}", partial(_detector_step, setting, found, pooling))
    found.try_part("classifier", partial(_classifier_step, setting, found))


def _detector_step(setting: Setting, found: Found, pooling: str) -> None:
    model = detector(ResNet(50, None, WIDTH), pooling=pooling).to(setting.device)
    sgd = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    host = detection().pin_memory() if setting.on_gpu else detection()
    model(host.to(setting.device))  # the anchors are made once a shape
    with precision_context("bf16", setting.device):
        with _no_waiting(setting):
            images = host.to(setting.device)
            features = model.trunk(images)
            outputs = model.rpn(features)
            losses = model.rpn.losses(outputs, features, images)
        proposals = model.rpn.propose(outputs, features)
        with _no_waiting(setting):
            chosen = model.head.sample(proposals.boxes, proposals.valid, images)
            logits, deltas = model.head(model.embed(features, chosen.boxes))
            losses |= model.head.losses(logits, deltas, chosen)
    _update(setting, sgd, losses)
    found.figures[f"detector, {pooling}"] = "waits only in NMS"


def _classifier_step(setting: Setting, found: Found) -> None:
    model = Classifier(ResNet(50, CLASSES, WIDTH)).to(setting.device)
    sgd = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    host = labelled(SIDE).pin_memory() if setting.on_gpu else labelled(SIDE)
    model(host.to(setting.device))
    with precision_context("bf16", setting.device), _no_waiting(setting):
        losses = model(host.to(setting.device))
    _update(setting, sgd, {"loss_class": losses["loss_class"]})
    found.figures["classifier"] = "does not wait"


def _update(setting: Setting, sgd: torch.optim.SGD, losses: dict[str, torch.Tensor]) -> None:
    with _no_waiting(setting):
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        nn.utils.clip_grad_norm_([p for group in sgd.param_groups for p in group["params"]], 10.0)
        sgd.step()
        sgd.zero_grad()


@contextmanager
def _no_waiting(setting: Setting) -> Iterator[None]:
    if not setting.on_gpu:
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
