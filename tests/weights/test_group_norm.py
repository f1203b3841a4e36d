"""ResNets with GroupNorm are refused: resdet's nets have BN, and the tensors of both have the same names and shapes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from helpers.weights import caffe2_blobs, dump
from resdet.errors import UserError
from resdet.weights.read import read_weights

STATE = torchvision.models.resnet18(norm_layer=lambda channels: torch.nn.GroupNorm(8, channels)).state_dict()
REMEDY = "resdet's nets have BN and cannot use such weights; take a ResNet with BN"


def detectron2_name(name: str) -> str:
    """The name in detectron2's backbones with `RESNETS.NORM: GN`."""
    for stage in range(1, 5):
        name = name.replace(f"layer{stage}.", f"res{stage + 1}.")
    name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    name = name.replace("bn1.", "conv1.norm.").replace("bn2.", "conv2.norm.")
    return f"backbone.{name if name.startswith('res') else f'stem.{name}'}"


@pytest.mark.parametrize(
    "state",
    [
        STATE,
        {f"module.backbone.{name}": tensor for name, tensor in STATE.items()},
        {detectron2_name(name): tensor for name, tensor in STATE.items()},
        {name.replace("bn", "gn"): tensor for name, tensor in STATE.items()},  # mmdetection
    ],
    ids=["torchvision", "wrapped", "detectron2", "mmdetection"],
)
def test_a_resnet_with_group_norm_is_refused_as_such(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({"model": state}, tmp_path / "gn.pth")
    for source in ("", "torchvision:"):
        with pytest.raises(UserError, match="GroupNorm") as caught:
            read_weights(f"{source}{tmp_path / 'gn.pth'}")
        assert REMEDY in str(caught.value)
        assert "\n" not in str(caught.value)


def test_detectrons_group_norm_is_refused_as_such(tmp_path: Path) -> None:
    blobs = {name.replace("_bn_", "_gn_"): values for name, values in caffe2_blobs().items()}
    with pytest.raises(UserError, match=f"a ResNet with GroupNorm; {REMEDY}"):
        read_weights(dump({"blobs": blobs}, tmp_path / "R-50-GN.pkl"))


def test_the_same_net_with_bn_is_read(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "bn.pth")
    assert read_weights(tmp_path / "bn.pth").origin == "torchvision"
