"""Exchange with other projects: public CIFAR-10 nets, and exports for torchvision."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from helpers.commands import export_weights
from resdet.errors import UserError
from resdet.nets.cifar_resnet import CifarResNet
from resdet.nets.preprocess import IMAGENET_MEAN, IMAGENET_STD
from resdet.nets.resnet import ResNet
from resdet.weights.export import to_cifar, to_torchvision
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights


class PublicBlock(nn.Module):
    """The block of the public CIFAR-10 nets: option A with half of the zeros before the channels."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.width, self.grows = width, channels_in != width

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.grows:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.width // 4, self.width // 4))
        return F.relu(x + y)


class PublicResNet20(nn.Module):
    """The public ResNet-20 for CIFAR-10: conv1, bn1, layer1..layer3, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(PublicBlock(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(PublicBlock(16, 32, 2), PublicBlock(32, 32, 1), PublicBlock(32, 32, 1))
        self.layer3 = nn.Sequential(PublicBlock(32, 64, 2), PublicBlock(64, 64, 1), PublicBlock(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def with_statistics(net: nn.Module) -> nn.Module:
    """Set random BN statistics and scales, so that a wrong order shows in the logits."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    return net.eval()


def checkpoint_of(net: nn.Module, path: Path, **more: object) -> Path:
    torch.save({"format": "resdet", "model": net.state_dict(), **more}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
@torch.no_grad()
def test_public_cifar_checkpoints_give_their_original_logits(prefix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    public = with_statistics(PublicResNet20())
    path, x = tmp_path / "resnet20.th", torch.randn(4, 3, 32, 32)
    torch.save({"state_dict": {f"{prefix}{name}": tensor for name, tensor in public.state_dict().items()}}, path)
    ours = CifarResNet(20).eval()
    report = load_weights(ours, read_weights(path))
    assert not report.missing
    assert not report.unexpected
    torch.testing.assert_close(ours(x), public(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.preprocess.mean[:, 7, 9], torch.tensor(IMAGENET_MEAN))  # as they were trained
    torch.testing.assert_close(ours.preprocess.std, torch.tensor(IMAGENET_STD))
    with pytest.raises(UserError, match="does not fit this net"):
        load_weights(CifarResNet(32), read_weights(path))


@torch.no_grad()
def test_our_cifar_nets_load_into_the_public_definition() -> None:
    torch.manual_seed(0)
    ours, x = with_statistics(CifarResNet(20)), torch.randn(4, 3, 32, 32)
    public = PublicResNet20().eval()
    public.load_state_dict(to_cifar(ours.state_dict()), strict=False)  # public files count batches
    torch.testing.assert_close(public(x), ours(x), atol=1e-5, rtol=0)


def test_public_cifar_nets_of_option_b_load_only_into_option_b(tmp_path: Path) -> None:
    ours = CifarResNet(20, shortcut="B")
    state = to_cifar(ours.state_dict())
    assert "layer2.0.shortcut.0.weight" in state
    torch.save(state, tmp_path / "b.th")
    again = CifarResNet(20, shortcut="B")
    load_weights(again, read_weights(tmp_path / "b.th"))
    assert torch.equal(again.conv4[1].a.conv.weight, ours.conv4[1].a.conv.weight)
    with pytest.raises(UserError, match=r"conv3\.0\.shortcut.* is not in the net"):
        load_weights(CifarResNet(20), read_weights(tmp_path / "b.th"))


def test_a_mean_image_travels_with_the_exported_file(tmp_path: Path) -> None:
    ours = CifarResNet(20)
    ours.preprocess.mean.copy_(torch.rand(3, 32, 32) * 255)
    checkpoint, again = checkpoint_of(ours, tmp_path / "last.pth"), CifarResNet(20)
    for suffix in ("pth", "safetensors"):
        out = tmp_path / "made" / f"r20.{suffix}"  # the folder is made
        export_weights([str(checkpoint), "--to", "cifar", "--out", str(out)])
        load_weights(again, read_weights(out))
        torch.testing.assert_close(again.preprocess.mean, ours.preprocess.mean)
        torch.testing.assert_close(again.preprocess.std, torch.ones_like(again.preprocess.std))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@torch.no_grad()
def test_exported_weights_give_the_same_logits_in_torchvision(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    ours = ResNet(18, num_classes=7).eval()
    checkpoint, out = checkpoint_of(ours, tmp_path / "last.pth"), tmp_path / f"resnet18.{suffix}"
    export_weights([str(checkpoint), "--to", "torchvision", "--out", str(out)])
    assert "minus 123.675, 116.28, 103.53, divided by 58.395, 57.12, 57.375" in capsys.readouterr().out
    theirs = torchvision.models.resnet18(num_classes=7).eval()
    state = safetensors.torch.load_file(out) if suffix == "safetensors" else torch.load(out, weights_only=True)
    theirs.load_state_dict(state, strict=False)  # torchvision counts batches
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-4, rtol=0)
    again = ResNet(18, num_classes=7)
    load_weights(again, read_weights(out))
    assert torch.equal(again.state_dict()["conv5.1.b.conv.weight"], ours.state_dict()["conv5.1.b.conv.weight"])


@torch.no_grad()
def test_exporting_a_stride_on_the_1x1_says_how_to_use_it_in_torchvision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    ours = ResNet(50, num_classes=7, stride_on="1x1").eval()
    checkpoint = checkpoint_of(ours, tmp_path / "last.pth", stride_on="1x1")
    export_weights([str(checkpoint), "--out", str(tmp_path / "r50.pth")])
    remedy = next(line for line in capsys.readouterr().out.splitlines() if "stride, s[0]" in line)
    net, x = torchvision.models.resnet50(num_classes=7).eval(), torch.randn(1, 3, 64, 64)
    net.load_state_dict(torch.load(tmp_path / "r50.pth", weights_only=True), strict=False)
    assert (net(x) - ours(x)).abs().max() > 1e-2
    exec(remedy.strip(), {"net": net})  # the printed line itself
    torch.testing.assert_close(net(x), ours(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("net", "why"),
    [
        (lambda: ResNet(18, num_classes=7, shortcut="A"), "option B"),
        (lambda: ResNet(18, num_classes=7, shortcut="C"), "option B"),
        (lambda: ResNet(18, num_classes=7, shortcut=None), "plain"),
        (lambda: CifarResNet(20), "--to cifar"),
    ],
)
def test_nets_that_torchvision_lacks_are_refused(net: object, why: str) -> None:
    with pytest.raises(UserError, match=why):
        to_torchvision(net().state_dict())
