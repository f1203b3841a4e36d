"""torchvision's weights: reading, exporting, equal logits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torchvision

from helpers.weights import REFUSED, Call, assert_same, calibrated, small_detector, small_resnet
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.errors import UserError
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.weights.export import to_torchvision
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights


@pytest.mark.parametrize(("depth", "stride_on"), [(18, None), (34, None), (50, "3x3"), (101, "3x3"), (152, "3x3")])
def test_torchvision_and_resdet_nets_give_the_same_logits_in_both_directions(
    depth: int, stride_on: str | None, tmp_path: Path
) -> None:
    torch.manual_seed(depth)
    theirs = calibrated(getattr(torchvision.models, f"resnet{depth}")(num_classes=10))
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    weights = read_weights(tmp_path / "net.pth")
    ours = ResNet(depth, num_classes=10, stride_on="3x3").eval()
    report = load_weights(ours, weights)
    back = getattr(torchvision.models, f"resnet{depth}")(num_classes=10).eval()
    back.load_state_dict(to_torchvision(ours.state_dict()), strict=False)  # torchvision counts batches

    assert weights.origin == "torchvision"
    assert weights.stride_on == stride_on
    assert (report.missing, report.unexpected, report.mismatched) == ([], [], [])
    assert len(report.matched) == sum("num_batches_tracked" not in key for key in theirs.state_dict())
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    normal = torchvision.transforms.functional.normalize(image / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = theirs(normal)
        torch.testing.assert_close(ours(ours.preprocess(image)), expected, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(back(normal), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("depth", [16, 19])
def test_torchvision_and_resdet_vggs_give_the_same_logits(depth: int, tmp_path: Path) -> None:
    torch.manual_seed(depth)
    theirs = getattr(torchvision.models, f"vgg{depth}")(num_classes=3).eval()
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    ours = VGG(depth, num_classes=3).eval()
    report = load_weights(ours, read_weights(tmp_path / "net.pth"))
    assert (report.missing, report.unexpected, report.mismatched) == ([], [], [])
    image = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    normal = torchvision.transforms.functional.normalize(image / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        torch.testing.assert_close(ours(ours.preprocess(image)), theirs(normal), rtol=1e-5, atol=1e-4)


def test_a_torchvision_vgg_initialises_a_detector_and_can_be_exported_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.vgg16(num_classes=3)
    torch.save(theirs.state_dict(), tmp_path / "vgg16.pth")
    head = HeadSettings(bins=7, pooling="pool")
    detector = FasterRCNN(VGG(16, None), 4, head=head)
    report = load_weights(detector, read_weights(tmp_path / "vgg16.pth"), allow_missing=("rpn", "head"))
    assert str(report).endswith("new: rpn.*, head.*; unused: fc.*")
    assert torch.equal(detector.net.fc6.weight, theirs.classifier[0].weight)
    assert torch.equal(detector.net.conv5[2].weight, theirs.features[28].weight)
    whole = VGG(16, num_classes=3)
    load_weights(whole, read_weights(tmp_path / "vgg16.pth"))
    back = to_torchvision(whole.state_dict())
    assert back.keys() == theirs.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.state_dict().items())


def test_a_vgg_without_fc_layers_is_refused(tmp_path: Path) -> None:
    """torchvision's IMAGENET1K_FEATURES fill the rest with NaN; its mean and deviation are others."""
    tensors = {name: torch.zeros(2) for name in ("features.0.weight", "features.2.weight")}
    torch.save(tensors | {"classifier.6.weight": torch.full((2,), torch.nan)}, tmp_path / "vgg.pth")
    with pytest.raises(UserError, match=r"vgg.pth: has no values for fc, .* IMAGENET1K_V1"):
        read_weights(tmp_path / "vgg.pth")


def test_to_torchvision_is_the_exact_inverse_of_reading(tmp_path: Path) -> None:
    theirs = {k: v for k, v in torchvision.models.resnet50().state_dict().items() if "num_batches" not in k}
    torch.save(theirs, tmp_path / "net.pth")
    back = to_torchvision(read_weights(tmp_path / "net.pth").state)
    assert_same(back, theirs)
    torchvision.models.resnet50().load_state_dict(back, strict=True)


def test_to_torchvision_leaves_out_the_preprocessing_and_refuses_a_detector() -> None:
    assert "conv1.weight" in to_torchvision(small_resnet().state_dict())
    with pytest.raises(UserError, match=r"^net\.preprocess\.mean: .* state dict of a net"):
        to_torchvision(small_detector().state_dict())


def test_wrappers_of_training_scripts_are_opened(tmp_path: Path) -> None:
    state = torchvision.models.resnet18(num_classes=2).state_dict()
    torch.save(state, tmp_path / "bare.pth")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "wrapped.pth")
    torch.save({"model": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    bare = read_weights(tmp_path / "bare.pth").state
    assert_same(read_weights(tmp_path / "wrapped.pth").state, bare)
    assert_same(read_weights(tmp_path / "old.pth").state, bare)


def test_names_of_torchvision_weights_are_checked_before_any_download() -> None:
    with pytest.raises(UserError, match="no such weights"):
        read_weights("ResNet50_Weights.IMAGENET1K_V9")
    with pytest.raises(UserError, match="no such net"):
        read_weights("AlexNet_Weights.IMAGENET1K_V1")


def test_a_named_torchvision_net_comes_from_the_local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = torchvision.models.get_weight("ResNet18_Weights.IMAGENET1K_V1").url
    store = tmp_path / "hub" / "checkpoints"
    store.mkdir(parents=True)
    torch.save(torchvision.models.resnet18().state_dict(), store / url.rpartition("/")[2])
    weights = read_weights("ResNet18_Weights.IMAGENET1K_V1")
    assert load_weights(ResNet(18), weights).missing == []
    mark = tmp_path / "mark"
    torch.save({"conv1.weight": Call(os.system, f"touch {mark}")}, store / url.rpartition("/")[2])
    with pytest.raises(UserError, match=rf"{url.rpartition('/')[2]}: .*{REFUSED}.*delete this copy"):
        read_weights("ResNet18_Weights.IMAGENET1K_V1")
    assert not mark.exists()
