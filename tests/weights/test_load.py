"""Loading weights into nets: checkpoints of resdet, and weights that do not match."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.weights import Detector, assert_same, own_checkpoint, small_detector, small_resnet
from resdet.errors import UserError
from resdet.nets.preprocess import Preprocess
from resdet.nets.resnet import ResNet
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights
from resdet.weights.weights import Weights

# Checkpoints of resdet ------------------------------------------------------------------------------------------------


def test_our_checkpoints_carry_their_preprocessing(tmp_path: Path) -> None:
    trained, fresh = small_resnet(), small_resnet()
    trained.preprocess = Preprocess((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    weights = read_weights(own_checkpoint(trained, tmp_path / "last.pth", stride_on="3x3"))
    assert (weights.origin, weights.stride_on) == ("resdet", "3x3")
    load_weights(fresh, weights)
    assert_same(dict(fresh.state_dict()), dict(trained.state_dict()))


def test_a_classifier_fills_a_detectors_net_and_a_detector_a_classifier(tmp_path: Path) -> None:
    classifier = ResNet(50, num_classes=7, width=1 / 16)
    detector = Detector(ResNet(50, num_classes=None, width=1 / 16))
    weights = read_weights(own_checkpoint(classifier, tmp_path / "cls.pth"))
    report = load_weights(detector, weights, allow_missing=("rpn", "head"))
    assert report.unexpected == ["net.fc.weight", "net.fc.bias"]
    assert {name.partition(".")[0] for name in report.missing} == {"rpn", "head"}
    assert_same(dict(detector.net.conv5.state_dict()), dict(classifier.conv5.state_dict()))

    weights = read_weights(own_checkpoint(detector, tmp_path / "det.pth"))
    assert weights.is_detector
    back = load_weights(ResNet(50, num_classes=7, width=1 / 16), weights, allow_missing=("fc",))
    assert back.missing == ["fc.weight", "fc.bias"]


def test_a_checkpoint_without_preprocessing_is_refused(tmp_path: Path) -> None:
    torch.save({"format": "resdet", "model": {"conv1.conv.weight": torch.zeros(1)}}, tmp_path / "last.pth")
    with pytest.raises(UserError, match=r"last\.pth: .*preprocessing"):
        read_weights(tmp_path / "last.pth")


# Weights that do not match --------------------------------------------------------------------------------------------


def own_weights(module: nn.Module, tmp_path: Path, **more: object) -> Weights:
    return read_weights(own_checkpoint(module, tmp_path / "net.pth", **more))


def test_other_depths_and_widths_are_refused_both_ways_and_nothing_is_copied(tmp_path: Path) -> None:
    shallow, deep = (ResNet(depth, num_classes=7, width=1 / 16) for depth in (18, 34))
    wide = ResNet(18, num_classes=7, width=1 / 8)
    for target, source in ((shallow, deep), (deep, shallow), (shallow, wide)):
        before = copy.deepcopy(target.state_dict())
        with pytest.raises(UserError, match=r"net\.pth: does not fit .* basic blocks: ") as caught:
            load_weights(target, own_weights(source, tmp_path), allow_missing=("fc", "conv3", "conv4"))
        assert "\n" not in str(caught.value)
        assert_same(dict(target.state_dict()), dict(before))


def test_a_net_without_the_last_stage_takes_the_others(tmp_path: Path) -> None:
    weights, net = own_weights(small_resnet(), tmp_path), small_resnet()
    del net.conv5, net.fc
    report = load_weights(net, weights)
    assert {name.partition(".")[0] for name in report.unexpected} == {"conv5", "fc"}


def test_new_layers_must_be_allowed_by_name(tmp_path: Path) -> None:
    weights = own_weights(small_detector(num_classes=20), tmp_path)
    detector = small_detector(num_classes=5)
    with pytest.raises(UserError, match=r"head\.scores\.weight is \[21, 256\].*\[6, 256\].*allow_missing=\('head',\)"):
        load_weights(detector, weights, allow_missing=("rpn",))
    new = copy.deepcopy(detector.head.state_dict())
    report = load_weights(detector, weights, allow_missing=("head",))
    assert report.mismatched[0] == ("head.scores.weight", (21, 256), (6, 256))
    assert_same(dict(detector.head.state_dict()), dict(new))
    assert str(report).endswith("matched; new: head.*")


@pytest.mark.parametrize("prefix", [False, True])
def test_the_stride_must_be_where_the_weights_expect_it(prefix: bool, tmp_path: Path) -> None:
    net = ResNet(50, num_classes=None, width=1 / 16, stride_on="1x1")
    weights = own_weights(net, tmp_path, stride_on="3x3")
    target = Detector(net) if prefix else net
    with pytest.raises(UserError, match="build the net with stride_on='3x3'"):
        load_weights(target, weights, allow_missing=("rpn", "head"))
