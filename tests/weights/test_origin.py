"""Caffe's nets under torchvision's names: recognized by their numbers, or by what the user says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from helpers.weights import MSRA_MEAN, small_resnet
from resdet.errors import UserError
from resdet.nets.preprocess import IMAGENET_MEAN, IMAGENET_STD
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.weights.export import to_torchvision
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights


def caffe_resnet() -> nn.Module:
    """torchvision's ResNet-50 built as Caffe's: BGR minus the mean goes in, the stride is on the first 1x1."""
    net = torchvision.models.resnet50(num_classes=3)
    with torch.no_grad():
        net.conv1.weight *= 5  # variances in the thousands, as in the public files
    for stage in (net.layer2, net.layer3, net.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return net


def bgr(images: Tensor) -> Tensor:
    return (images.float() - torch.tensor(MSRA_MEAN)[:, None, None]).flip(1)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Smooth random images, uint8 [8, 3, 64, 64]."""
    torch.manual_seed(0)
    return F.interpolate(torch.rand(8, 3, 16, 16), size=64, mode="bilinear").mul(255).to(torch.uint8)


def with_statistics(net: nn.Module, inputs: Tensor) -> nn.Module:
    """Compute the BN statistics on `inputs`."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        net.train()(inputs)
    return net.eval()


@pytest.fixture(scope="module")
def caffe_net(images: Tensor) -> nn.Module:
    """A ResNet-50 of Caffe's with statistics of `images`. Read-only."""
    return with_statistics(caffe_resnet(), bgr(images))


def test_caffes_resnet_under_torchvisions_names_gives_its_own_logits(
    caffe_net: nn.Module, images: Tensor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(caffe_net.state_dict(), tmp_path / "resnet50_caffe.pth")
    weights = read_weights(tmp_path / "resnet50_caffe.pth")
    assert (weights.origin, weights.stride_on) == ("caffe", "1x1")
    assert "resnet50_caffe.pth: by its numbers a net of Caffe's" in caplog.text
    ours = ResNet(50, num_classes=3).eval()
    load_weights(ours, weights)
    with torch.no_grad():
        torch.testing.assert_close(ours(ours.preprocess(images)), caffe_net(bgr(images)), rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match="stride on the 1x1"):
        load_weights(ResNet(50, num_classes=3, stride_on="3x3"), weights)


def test_torchvisions_resnet_is_taken_for_what_it_is(images: Tensor, tmp_path: Path) -> None:
    normal = torchvision.transforms.functional.normalize(images / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    net = with_statistics(torchvision.models.resnet50(num_classes=3), normal)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    weights = read_weights(tmp_path / "net.pth")
    assert (weights.origin, weights.stride_on) == ("torchvision", "3x3")
    assert weights.std.tolist() == pytest.approx(IMAGENET_STD)


def test_caffes_resnet_rescaled_for_torchvisions_input_keeps_its_stride(caffe_net: nn.Module, tmp_path: Path) -> None:
    """Converters that multiply conv1 by the std leave the variances as they are."""
    state = dict(caffe_net.state_dict())
    assert state["bn1.running_var"].mean() > 1000
    state["conv1.weight"] = state["conv1.weight"].flip(1) * torch.tensor(IMAGENET_STD)[:, None, None]
    torch.save(state, tmp_path / "net.pth")
    weights = read_weights(tmp_path / "net.pth")
    assert (weights.origin, weights.stride_on) == ("caffe", "1x1")
    assert weights.std.tolist() == pytest.approx(IMAGENET_STD)
    assert torch.equal(weights.state["conv1.conv.weight"], state["conv1.weight"])


def test_folded_statistics_ask_for_the_origin(tmp_path: Path) -> None:
    """mmdetection's Caffe files have mean 0 and variance 1: nothing tells how the net was fed."""
    state = to_torchvision(small_resnet().state_dict())
    state["bn1.weight"] = torch.rand_like(state["bn1.weight"])
    path = tmp_path / "resnet18_caffe.pth"
    torch.save(state, path)
    with pytest.raises(UserError, match=r"write caffe:resnet18_caffe\.pth .* or torchvision:"):
        read_weights(path)
    weights = read_weights(f"caffe:{path}")
    assert weights.std.tolist() == [1, 1, 1]
    assert weights.mean.tolist() == pytest.approx(MSRA_MEAN)
    assert torch.equal(weights.state["conv1.conv.weight"], state["conv1.weight"].flip(1))
    assert read_weights(f"torchvision:{path}").std.tolist() == pytest.approx(IMAGENET_STD)


def test_what_the_user_says_is_used(caffe_net: nn.Module, tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet50(num_classes=3).state_dict(), tmp_path / "net.pth")
    assert read_weights(tmp_path / "net.pth", origin="caffe").stride_on == "1x1"
    torch.save(caffe_net.state_dict(), tmp_path / "net.pth")
    assert read_weights(tmp_path / "net.pth", origin="torchvision").stride_on == "3x3"


def vgg_state(depth: int) -> dict[str, Tensor]:
    """A narrow VGG with random weights, under torchvision's names."""
    torch.manual_seed(0)
    return to_torchvision(VGG(depth, num_classes=3, width=1 / 8).state_dict())


CAFFE_BIASES = {  # of the first two convolutions in Simonyan and Zisserman's release, as published in many projects
    16: ("features.0.bias", (0.73429835, 0.093403675, 0.06775674, 0.8862966, 0.25994542)),
    19: ("features.2.bias", (-0.292965, 0.339774, 0.159743, 0.0413218, 0.776448)),
}


@pytest.mark.parametrize("depth", [16, 19])
def test_caffes_vgg_is_known_by_its_biases(depth: int, tmp_path: Path) -> None:
    state = vgg_state(depth)
    torch.save(state, tmp_path / "vgg.pth")
    assert read_weights(tmp_path / "vgg.pth").origin == "torchvision"
    name, values = CAFFE_BIASES[depth]
    state[name][:5] = torch.tensor(values)
    torch.save(state, tmp_path / "vgg.pth")
    weights = read_weights(tmp_path / "vgg.pth")
    assert (weights.origin, weights.std.tolist()) == ("caffe", [1, 1, 1])
    assert weights.mean.tolist() == pytest.approx([123.68, 116.779, 103.939])
    assert torch.equal(weights.state["conv1.0.weight"], state["features.0.weight"].flip(1))


def test_a_vgg_whose_first_filters_read_raw_pixels_is_caffes(tmp_path: Path) -> None:
    state = vgg_state(16)
    state["features.0.weight"] = state["features.0.weight"] / 57
    torch.save(state, tmp_path / "vgg.pth")
    assert read_weights(tmp_path / "vgg.pth").origin == "caffe"


def test_an_origin_is_refused_where_the_file_holds_the_preprocessing(tmp_path: Path) -> None:
    state = to_torchvision(small_resnet().state_dict())
    torch.save({"state_dict": state, "mean": torch.tensor(IMAGENET_MEAN), "std": torch.ones(3)}, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"its preprocessing is known from the file; leave caffe: out"):
        read_weights(f"caffe:{tmp_path / 'net.pth'}")
