"""conv5's first 1x1 convolutions on the shared map (nets/head_entry.py): equal vectors, gradients, fewer products."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from helpers.detectors import make_detector, make_sample
from resdet.data.detection.loading import collate_detection
from resdet.nets.blocks import fold_for_inference
from resdet.nets.resnet import ResNet


def entered_and_not(detector, run, monkeypatch):
    """`run()` with the first convolutions on the map, then with all of conv5 per region."""
    entered = run()
    monkeypatch.setattr(ResNet, "head_entry", None)
    return entered, run()


def features_and_regions(detector, count=60):
    """The map of two images of different sizes, one of them padded, and regions that cross their borders too."""
    batch = collate_detection([make_sample(120, 200, seed=1), make_sample(90, 130, seed=2)])
    random = torch.rand(2, count, 4, generator=torch.Generator().manual_seed(0))
    corners = random[..., :2] * 100 - 20
    return detector.trunk(batch), torch.cat([corners, corners + random[..., 2:] * 120 + 2], 2)


@pytest.mark.parametrize("stride_on", ["1x1", "3x3"])
@pytest.mark.parametrize("folded", [False, True])
def test_vectors_are_those_of_conv5_on_every_region(stride_on, folded, monkeypatch):
    detector = make_detector(50, stride_on, "align").eval()
    if folded:
        fold_for_inference(detector)
    with torch.no_grad():
        features, regions = features_and_regions(detector)
        entered, plain = entered_and_not(detector, lambda: detector.vectors(features, regions), monkeypatch)
    assert plain.abs().max() > 0.1
    torch.testing.assert_close(entered, plain, atol=1e-5, rtol=1e-4)


def test_gradients_are_those_of_conv5_on_every_region(monkeypatch):
    detector = make_detector(50, "1x1", "align")

    def gradients():
        detector.zero_grad()
        features, regions = features_and_regions(detector)
        detector.vectors(features, regions).square().mean().backward()
        return {name: p.grad.clone() for name, p in detector.named_parameters() if p.grad is not None}

    entered, plain = entered_and_not(detector, gradients, monkeypatch)
    assert entered.keys() == plain.keys()
    assert any(name.startswith("net.conv4") for name in plain)
    for name, gradient in plain.items():
        torch.testing.assert_close(entered[name], gradient, atol=1e-5 * float(gradient.abs().max()), rtol=1e-3)


def test_fewer_multiplications_by_what_the_two_convolutions_cost_per_region(monkeypatch):
    detector = make_detector(50, "1x1", "align").eval()
    features, regions = features_and_regions(detector)

    def flops():
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            detector.vectors(features, regions)
        return counter.get_total_flops()

    entered, plain = entered_and_not(detector, flops, monkeypatch)
    first = detector.net.conv5[0]
    products = first.a.conv.weight.numel() + first.shortcut.conv.weight.numel()
    bins, cells = regions.shape[:2].numel() * 49, features.map[:, 0].numel()
    assert plain - entered == 2 * products * (bins - cells)


def test_few_regions_on_a_large_map_are_computed_one_by_one(monkeypatch):
    detector = make_detector(50, "1x1", "align").eval()
    features, regions = features_and_regions(detector, count=1)
    entered, plain = entered_and_not(detector, lambda: detector.vectors(features, regions), monkeypatch)
    assert torch.equal(entered, plain)
