"""Checkpoints of training scripts: nets in wrappers and behind prefixes, beside objects of any class."""

from __future__ import annotations

import argparse
import datetime
import pathlib
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor

from helpers.weights import GOLDEN, REFUSED, assert_same, caffe2_blobs, dump, needs_golden, small_detector, small_resnet
from resdet.errors import UserError
from resdet.nets.resnet import ResNet
from resdet.weights.export import to_torchvision
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A narrow ResNet-18 under torchvision's names."""
    return to_torchvision(small_resnet().state_dict())


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


WRAPPERS = {
    "model_state_dict": lambda s: {"epoch": 1, "model_state_dict": s},
    "net": lambda s: {"net": s, "acc": 1.0},
    "network": lambda s: {"arch": "resnet18", "network": s, "loss": torch.tensor(0.5)},
    "any other key": lambda s: {"weights_of_the_best_epoch": s},
    "two levels": lambda s: {"checkpoint": {"model": s}},
    "model.": lambda s: {"state_dict": prefixed("model.", s)},
    "backbone.": lambda s: {"state_dict": prefixed("backbone.", s) | {"head.cls.weight": torch.zeros(3)}},
    "Lightning": lambda s: {"state_dict": prefixed("model.backbone.", s), "pytorch-lightning_version": "2.0"},
    "module.": lambda s: prefixed("module.", s),
    "averaged": lambda s: {"n_averaged": torch.tensor(1), **prefixed("module.module.", s)},
    "compiled": lambda s: prefixed("_orig_mod.", s),
    "a tuple with the epoch": lambda s: (s, 3),
    "a list of nets": lambda s: {"nets": [s, s]},
    "EMA": lambda s: {"ema": {"module": s}, "updates": 7},
    "MoCo v3": lambda s: {
        "state_dict": prefixed("module.base_encoder.", s) | {"module.predictor.0.weight": torch.zeros(3)}
    },
    "SwAV": lambda s: (
        prefixed("module.", s)
        | {"module.projection_head.0.weight": torch.zeros(3), "module.prototypes.weight": s["fc.bias"]}
    ),
    "DINO": lambda s: {
        "student": prefixed("module.backbone.", {name: tensor + 1 for name, tensor in s.items()}),
        "teacher": prefixed("backbone.", s) | {"head.mlp.0.weight": torch.zeros(3)},
    },
    "OpenSelfSup": lambda s: {"state_dict": prefixed("encoder_q.0.", s) | {"encoder_q.1.mlp.0.weight": torch.zeros(3)}},
    "MMDetection": lambda s: {
        "meta": {"CLASSES": ("cat",)},
        "state_dict": prefixed("backbone.", s) | {"neck.lateral_convs.0.conv.weight": torch.zeros(3)},
    },
    "thop": lambda s: (
        s | {"total_ops": torch.zeros(1)} | {f"layer1.0{part}.total_params": torch.zeros(1) for part in ("", ".conv1")}
    ),
    "optimizer first": lambda s: {"optimizer": {"state": {0: {"exp_avg": s["conv1.weight"]}}}, "model": s},
    "MoCo": lambda s: {
        "state_dict": prefixed("module.encoder_q.", s)
        | prefixed("module.encoder_k.", {name: tensor + 1 for name, tensor in s.items()})
        | {"module.queue": torch.zeros(4, 4)}
    },
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_nets_are_found_in_wrappers_and_behind_prefixes(wrapper: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "bare.pth")
    torch.save(WRAPPERS[wrapper](state), tmp_path / "net.pth")
    weights = read_weights(tmp_path / "net.pth")
    assert_same(weights.state, read_weights(tmp_path / "bare.pth").state)
    assert load_weights(small_resnet(), weights).missing == []


def without_fc(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def test_the_children_of_a_resnet_in_a_sequential_are_read(tmp_path: Path) -> None:
    """nn.Sequential(*list(resnet.children())[:-1]), as SimCLR's, fastai's and many other scripts have it."""
    net = torchvision.models.resnet18(num_classes=7)
    torch.save(net.state_dict(), tmp_path / "bare.pth")
    expected = without_fc(read_weights(tmp_path / "bare.pth").state)
    children = torch.nn.Sequential(*list(net.children())[:-1]).state_dict()
    for prefix in ("", "features.", "0.", "encoder.module."):
        torch.save(prefixed(prefix, children) | {"head.0.weight": torch.zeros(3)}, tmp_path / "net.pth")
        assert_same(read_weights(tmp_path / "net.pth").state, expected)


def transformers_name(name: str) -> str:
    """The name in Hugging Face's ResNetForImageClassification for one of torchvision's."""
    layer, *_, tensor = name.split(".")
    if layer in ("conv1", "bn1"):
        return f"resnet.embedder.embedder.{'convolution' if layer == 'conv1' else 'normalization'}.{tensor}"
    if layer == "fc":
        return f"classifier.1.{tensor}"
    _, block, part, *rest = name.split(".")
    place = "shortcut" if part == "downsample" else f"layer.{int(part[-1]) - 1}"
    kind = "convolution" if part.startswith("conv") or rest[0] == "0" else "normalization"
    return f"resnet.encoder.stages.{int(layer[-1]) - 1}.layers.{block}.{place}.{kind}.{tensor}"


@pytest.mark.parametrize("depth", [18, 50])
def test_hugging_faces_resnets_are_read(depth: int, tmp_path: Path) -> None:
    state = to_torchvision(ResNet(depth, num_classes=7, width=1 / 16).state_dict())
    torch.save(state, tmp_path / "bare.pth")
    renamed = {transformers_name(name): tensor.contiguous() for name, tensor in state.items()}
    safetensors.torch.save_file(renamed, tmp_path / "model.safetensors", {"format": "pt"})
    weights, bare = read_weights(tmp_path / "model.safetensors"), read_weights(tmp_path / "bare.pth")
    assert_same(weights.state, without_fc(bare.state))
    assert (weights.stride_on, weights.origin) == (bare.stride_on, "torchvision")
    assert torch.equal(weights.mean, bare.mean)


@pytest.mark.parametrize(
    ("wrapper", "said"),
    [
        (lambda s, a: {"ema_state_dict": a, "state_dict": s}, "(state_dict, ema_state_dict): state_dict is used"),
        (lambda s, a: {"model_ema": a, "model": s}, "(model, model_ema): model is used"),
        (lambda s, a: {"ema": {"module": a}, "model": prefixed("module.", s)}, "(model.module.*, ema.module): model"),
        (lambda s, a: prefixed("module.", s) | prefixed("ema.", a), "(module.*, ema.*): module.* is used"),
    ],
)
def test_which_of_several_nets_is_used_is_said(
    wrapper: Any, said: str, state: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An average beside the weights of the last step: the latter are used."""
    torch.save(wrapper(state, {name: tensor + 1 for name, tensor in state.items()}), tmp_path / "net.pth")
    weights = read_weights(tmp_path / "net.pth")
    assert torch.equal(weights.state["conv1.conv.weight"], state["conv1.weight"])
    assert f"net.pth holds several nets {said}" in caplog.text


def test_one_net_is_not_called_several(
    state: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    optimizer = {"optimizer": {"state": {0: {"exp_avg": state["conv1.weight"]}}}}
    torch.save({"state_dict": prefixed("module.", state), **optimizer}, tmp_path / "net.pth")
    read_weights(tmp_path / "net.pth")
    assert "several nets" not in caplog.text


def test_a_whole_pickled_module_is_read_without_its_class(tmp_path: Path) -> None:
    net = torchvision.models.resnet18(num_classes=3)
    torch.save(net, tmp_path / "net.pth")
    torch.save({"model": net, "epoch": 2}, tmp_path / "wrapped.pth")
    torch.save(net.state_dict(), tmp_path / "bare.pth")
    for name in ("net.pth", "wrapped.pth"):
        assert_same(read_weights(tmp_path / name).state, read_weights(tmp_path / "bare.pth").state)


class Settings(dict):
    """Stands for the dict classes of config libraries."""


def unknown_object() -> Any:
    """An object of a class whose module will not be there when the file is read."""
    module = types.ModuleType("somebodys_project")
    exec("class Config:\n    def __init__(self): self.lr = .1", module.__dict__)
    sys.modules["somebodys_project"] = module
    return module.Config()


EXTRAS = {
    "Namespace": lambda: argparse.Namespace(lr=0.1, path=pathlib.Path("a")),
    "numpy scalar": lambda: np.float64(3),
    "numpy random state": lambda: np.random.RandomState(0).get_state(),
    "array of objects": lambda: np.array(["a", None], dtype=object),
    "datetime": lambda: datetime.datetime(2026, 1, 2),
    "path": lambda: pathlib.PosixPath("runs/1"),
    "config": lambda: Settings(lr=0.1, nested=Settings(depth=18)),
    "unknown class": unknown_object,
    "set": lambda: {1, 2},
    "device": lambda: torch.device("cuda"),
    "dtype and size": lambda: (torch.float16, torch.Size([2, 3])),
    "optimizer": lambda: torch.optim.Adam([torch.zeros(2, requires_grad=True)]).state_dict(),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("extra", EXTRAS)
def test_objects_beside_the_tensors_do_no_harm(
    extra: str, legacy: bool, state: dict[str, Tensor], tmp_path: Path
) -> None:
    content = {"args": EXTRAS[extra](), "state_dict": state}
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
    sys.modules.pop("somebodys_project", None)
    read = read_weights(tmp_path / "net.pth").state
    assert torch.equal(read["conv1.conv.weight"], state["conv1.weight"])
    assert "somebodys_project" not in sys.modules


@pytest.mark.parametrize("protocol", range(6))
def test_objects_beside_arrays_do_no_harm(protocol: int, tmp_path: Path) -> None:
    content = {"model": caffe2_blobs(), "cfg": Settings(a=1), "when": datetime.datetime(2026, 1, 2)}
    assert "conv1.conv.weight" in read_weights(dump(content, tmp_path / "R-50.pkl", protocol)).state


def test_an_object_in_the_place_of_a_tensor_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state | {"conv1.weight": argparse.Namespace(a=1)}, tmp_path / "net.pth")
    with pytest.raises(UserError, match=rf"net\.pth: refused, it {REFUSED} argparse\.Namespace"):
        read_weights(tmp_path / "net.pth")


def test_the_keys_of_an_unknown_file_are_named(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "generator": {"up.0.weight": torch.zeros(2)}}, tmp_path / "gan.pth")
    with pytest.raises(UserError, match=r"its keys are epoch, generator; its first tensor is up\.0\.weight"):
        read_weights(tmp_path / "gan.pth")
    torch.save({"args": argparse.Namespace(a=1), "epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(UserError, match=r"its keys are args, epoch; it holds no named tensors"):
        read_weights(tmp_path / "empty.pth")


def test_the_resnet_of_torchvisions_detector_is_used_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with torch.device("meta"):
        detector = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    body = to_torchvision(ResNet(50, num_classes=2, width=1 / 16).state_dict())
    names = [name for name in detector.state_dict() if "num_batches_tracked" not in name]
    state = {name: body.get(name.removeprefix("backbone.body."), torch.zeros(1)) for name in names}
    torch.save(state, tmp_path / "fasterrcnn_resnet50_fpn.pth")
    weights = read_weights(tmp_path / "fasterrcnn_resnet50_fpn.pth")
    assert (weights.stride_on, weights.is_detector) == ("3x3", False)
    assert "fasterrcnn_resnet50_fpn.pth is a detector with FPN" in caplog.text
    report = load_weights(ResNet(50, None, width=1 / 16, stride_on="3x3"), weights)
    assert report.missing == []
    assert torch.equal(weights.state["conv5.2.c.conv.weight"], body["layer4.2.conv3.weight"])


@needs_golden
@pytest.mark.shared
def test_the_mask_branch_of_a_c4_detector_is_left_out(tmp_path: Path) -> None:
    content = pickle.loads((GOLDEN / "detectron2_r50c4.pkl").read_bytes())
    names = [f"roi_heads.mask_head.{layer}.weight" for layer in ("deconv", "predictor")]
    mask = {name: np.zeros((2, 2), np.float32) for name in names}
    weights = read_weights(dump({**content, "model": content["model"] | mask}, tmp_path / "mask.pkl"))
    report = load_weights(small_detector(), weights)
    assert report.missing == []
    assert report.unexpected == names


def test_half_and_bfloat16_weights_are_read_as_float32(state: dict[str, Tensor], tmp_path: Path) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn):
        torch.save(OrderedDict((name, tensor.to(dtype)) for name, tensor in state.items()), tmp_path / "net.pth")
        read = read_weights(tmp_path / "net.pth").state["conv1.conv.weight"]
        assert torch.equal(read, state["conv1.weight"].to(dtype).float())


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n")
    with pytest.raises(UserError, match=r"net\.pth: a pointer of Git LFS.*git lfs pull"):
        read_weights(tmp_path / "net.pth")


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"conv1.weight": torch.zeros(2)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/constants.pkl", b"\x80\x02).")
    with pytest.raises(UserError, match=r"net\.pth: a TorchScript program"):
        read_weights(path)
