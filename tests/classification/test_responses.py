"""Layer responses and gradient norms (Figures 6 and 7)."""

from __future__ import annotations

import pytest
import torch

from helpers.classifiers import classifier, noise
from resdet.classification.responses import gradient_norms, layer_responses
from resdet.nets.resnet import ResNet
from resdet.structures import LabelledImages


def test_a_response_is_the_output_of_bn_before_relu_and_addition() -> None:
    model, images = classifier(), noise(6, 3, 64, 64)
    labels = torch.arange(6) % 5
    batches = [LabelledImages(images[i : i + 2], labels[i : i + 2], labels[i : i + 2], ["a", "b"]) for i in (0, 2, 4)]
    found = layer_responses(model, batches)
    assert len(found) == 16  # ResNet-18 has 16 3x3 layers
    net = model.net
    assert isinstance(net, ResNet)
    with torch.no_grad():
        x = net.conv1(net.preprocess(images)).relu()
        x = torch.nn.functional.max_pool2d(x, 3, 2, padding=1)
        block = net.conv2[0]
        first = block.a(x)  # type: ignore[operator, union-attr]
        second = block.b(first.relu())  # type: ignore[operator, union-attr]
    assert found["conv2.0.a"] == pytest.approx(float(first.std(correction=0)), rel=1e-4)
    assert found["conv2.0.b"] == pytest.approx(float(second.std(correction=0)), rel=1e-4)


def test_gradient_norms_do_not_change_the_net() -> None:
    model = classifier()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    labels = torch.arange(6) % 5
    norms = gradient_norms(model, LabelledImages(noise(6, 3, 64, 64), labels, labels, ["a"] * 6))
    assert len(norms) == 16
    assert all(norm > 0 for norm in norms.values())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
