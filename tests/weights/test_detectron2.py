"""Weights of Caffe2 and detectron2: names, preprocessing, batch normalization, export."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.commands import export_weights
from helpers.weights import (
    BN,
    CAFFE2_BN,
    GOLDEN,
    MSRA_MEAN,
    assert_same,
    caffe2_blobs,
    dump,
    needs_golden,
    small_detector,
)
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.engine.checkpoint import save_checkpoint
from resdet.errors import UserError
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.weights import names
from resdet.weights.export import to_detectron2
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights

# Exporting ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [(123.675, 116.28, 103.53), (90.0, 100.0, 110.0)])
def test_a_detector_is_exported_with_detectron2s_names_and_read_again(mean: tuple[float, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = FasterRCNN(ResNet(50, None, width=0.125), 4)
    for name, buffer in ours.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 2)
    ours.net.preprocess.mean.copy_(torch.tensor(mean))  # blue above red: then the means do not tell the order
    save_checkpoint(tmp_path / "ours.pth", {"model": ours.state_dict(), "stride_on": "1x1", "classes": list("abcd")})
    export_weights([str(tmp_path / "ours.pth"), "--to", "detectron2", "--out", str(tmp_path / "theirs.pkl")])
    with (tmp_path / "theirs.pkl").open("rb") as file:
        stored = pickle.load(file)["model"]
    assert {"backbone.res4.0.conv1.weight", "roi_heads.res5.2.conv3.norm.running_var"} <= stored.keys()
    assert {
        "proposal_generator.rpn_head.anchor_deltas.bias",
        "roi_heads.box_predictor.cls_score.weight",
    } <= stored.keys()
    np.testing.assert_array_equal(
        stored["backbone.stem.conv1.weight"], ours.net.conv1.conv.weight.detach().flip(1).numpy()
    )
    back = FasterRCNN(ResNet(50, None, width=0.125), 4)
    report = load_weights(back, read_weights(tmp_path / "theirs.pkl"))
    assert not report.missing
    assert not report.unexpected
    theirs = back.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.state_dict().items())


@needs_golden
def test_a_detectron2_file_is_exported_unchanged(tmp_path: Path) -> None:
    export_weights([str(GOLDEN / "detectron2_r50c4.pkl"), "--to", "detectron2", "--out", str(tmp_path / "b.pkl")])
    before, after = (
        pickle.loads(path.read_bytes())["model"] for path in (GOLDEN / "detectron2_r50c4.pkl", tmp_path / "b.pkl")
    )
    shared = [name for name in before if name in after]
    assert len(shared) == len(after.keys() - {"pixel_mean", "pixel_std"})
    for name in shared:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def test_parts_without_a_detectron2_name_are_refused(tmp_path: Path) -> None:
    net, detector = ResNet(18, 3, width=0.125), FasterRCNN(VGG(16, None, width=0.125), 4, head=HeadSettings(bins=7))
    save_checkpoint(tmp_path / "net.pth", {"model": net.state_dict()})
    save_checkpoint(tmp_path / "vgg.pth", {"model": detector.state_dict()})
    wide = FasterRCNN(ResNet(50, None, width=0.125), 4, head=HeadSettings(context=True))
    save_checkpoint(tmp_path / "context.pth", {"model": wide.state_dict()})
    refused = {
        "net": "holds a net without RPN and head",
        "vgg": "detectron2's C4 detectors have no such tensor",
        "context": "has global context, which detectron2's C4 detectors do not have",
    }
    for name, message in refused.items():
        with pytest.raises(UserError, match=message):
            to_detectron2(read_weights(tmp_path / f"{name}.pth"))


# Reading --------------------------------------------------------------------------------------------------------------


def normalise(x: Tensor, bn: dict[str, Tensor]) -> Tensor:
    return nn.functional.batch_norm(x, bn["running_mean"], bn["running_var"], bn["gamma"], bn["beta"])


@pytest.mark.parametrize("wrapper", [None, "model", "blobs"])
def test_caffe2_blobs_are_read_in_every_wrapper_without_momentum(wrapper: str | None, tmp_path: Path) -> None:
    blobs = caffe2_blobs() | {"conv1_w_momentum": np.zeros(1, np.float32)}
    weights = read_weights(dump({wrapper: blobs} if wrapper else blobs, tmp_path / "R-50.pkl"))
    assert (weights.origin, weights.stride_on, weights.is_detector) == ("caffe2", "1x1", False)
    assert weights.leftover == []
    assert len(weights.state) == len(caffe2_blobs())
    torch.testing.assert_close(weights.mean, torch.tensor(MSRA_MEAN))
    torch.testing.assert_close(weights.std, torch.ones(3))
    read = weights.state["conv1.conv.weight"].numpy()
    np.testing.assert_array_equal(read, blobs["conv1_w"][:, ::-1])  # BGR, as the file has it, to RGB


def test_conv1_bias_is_absorbed_by_the_batch_normalisation(tmp_path: Path) -> None:
    blobs = caffe2_blobs()
    bias = np.array([0.5, -2.0, 0.0, 7.0], np.float32)
    state = read_weights(dump(blobs | {"conv1_b": bias}, tmp_path / "R-50.pkl")).state
    assert "conv1.conv.bias" not in state

    x = torch.randn(1, 3, 9, 9)
    bgr = torch.from_numpy(blobs["conv1_w"])
    expected = nn.functional.conv2d(x.flip(1), bgr, torch.from_numpy(bias))
    expected = normalise(expected, {t: torch.from_numpy(blobs[f"res_conv1_bn_{t}"]) for t in CAFFE2_BN})
    bn = dict(zip(CAFFE2_BN, (state[f"conv1.bn.{t}"] for t in BN), strict=True))
    actual = normalise(nn.functional.conv2d(x, state["conv1.conv.weight"]), bn)
    torch.testing.assert_close(actual, expected)


def test_affine_only_layers_fold_to_exactly_their_scale_and_shift(tmp_path: Path) -> None:
    blobs = {k: v for k, v in caffe2_blobs().items() if "_bn_" not in k}
    layers = {k.removesuffix("_w").replace("conv1", "res_conv1") for k in blobs}
    rng = np.random.default_rng(1)
    affine = {f"{layer}_bn_{t}": rng.normal(size=4).astype(np.float32) for layer in layers for t in "sb"}
    state = read_weights(dump(blobs | affine, tmp_path / "R-50.pkl")).state
    scale = state["conv2.0.b.bn.weight"] * torch.rsqrt(state["conv2.0.b.bn.running_var"] + 1e-5)
    shift = state["conv2.0.b.bn.bias"] - state["conv2.0.b.bn.running_mean"] * scale
    np.testing.assert_array_equal(scale.numpy(), affine["res2_0_branch2b_bn_s"])
    np.testing.assert_array_equal(shift.numpy(), affine["res2_0_branch2b_bn_b"])


SAME_TENSOR = """
    conv1_w                 stem.conv1.weight                              conv1.weight                        conv1.conv.weight
    res_conv1_bn_s          backbone.stem.conv1.norm.weight                bn1.weight                          conv1.bn.weight
    res4_22_branch2c_bn_b   res4.22.conv3.norm.bias                        layer3.22.bn3.bias                  conv4.22.c.bn.bias
    res5_0_branch1_w        roi_heads.res5.0.shortcut.weight               layer4.0.downsample.0.weight        conv5.0.shortcut.conv.weight
    res3_0_branch1_bn_riv   backbone.res3.0.shortcut.norm.running_var      layer2.0.downsample.1.running_var   conv3.0.shortcut.bn.running_var
    fc1000_b                stem.fc.bias                                   fc.bias                             fc.bias
"""  # noqa: E501


@pytest.mark.parametrize("row", SAME_TENSOR.strip().splitlines())
def test_every_naming_scheme_maps_to_the_same_tensor(row: str) -> None:
    caffe2, detectron2, torchvision_name, ours = row.split()
    assert names.from_caffe2(caffe2) == ours
    assert names.from_detectron2(detectron2) == ours
    assert names.TORCHVISION.translate(torchvision_name) == ours
    assert names.TORCHVISION.inverse().translate(ours) == torchvision_name


@pytest.mark.parametrize("name", ["conv_rpn_w", "lr", "res2_0_branch2d_w", "roi_heads.box_head.fc1.weight", "fpn.res2"])
def test_unknown_tensor_names_have_no_translation(name: str) -> None:
    assert [names.from_caffe2(name), names.from_detectron2(name), names.TORCHVISION.translate(name)] == [None] * 3


def detectron2_resnet() -> dict[str, np.ndarray]:
    """A small ResNet under detectron2's names, in RGB."""
    scheme = names.DETECTRON2.inverse()
    state = ResNet(50, num_classes=2, width=1 / 16).state_dict()
    return {t: v.numpy() for n, v in state.items() if "num_batches" not in n and (t := scheme.translate(n))}


def test_torchvision_resnets_in_detectron2_form_keep_their_preprocessing(tmp_path: Path) -> None:
    model = detectron2_resnet()
    data = {"model": model, "__author__": "torchvision", "matching_heuristics": True}
    weights = read_weights(dump(data, tmp_path / "r50.pkl", protocol=4))
    assert (weights.origin, weights.stride_on, weights.leftover) == ("detectron2", "3x3", [])
    torch.testing.assert_close(weights.std, torch.tensor([58.395, 57.12, 57.375]))
    np.testing.assert_array_equal(weights.state["conv1.conv.weight"], model["stem.conv1.weight"])


@pytest.mark.parametrize("bgr", [True, False])
def test_pixel_mean_of_a_detectron2_file_tells_its_channel_order(bgr: bool, tmp_path: Path) -> None:
    model = detectron2_resnet()
    pixels = np.array([[123.0, 116.0, 103.0], [58.0, 57.0, 56.0]], np.float32)
    pixels = pixels[:, ::-1] if bgr else pixels
    data = model | {"pixel_mean": pixels[0].reshape(3, 1, 1), "pixel_std": pixels[1].reshape(3, 1, 1)}
    weights = read_weights(dump({"model": data}, tmp_path / "d2.pkl"))
    assert weights.mean.tolist() == [123, 116, 103]
    assert weights.std.tolist() == [58, 57, 56]
    stored = model["stem.conv1.weight"]
    np.testing.assert_array_equal(weights.state["conv1.conv.weight"], stored[:, ::-1] if bgr else stored)


@needs_golden
@pytest.mark.shared
def test_detectron2_pkl_and_pth_and_caffe2_hold_the_same_net() -> None:
    pkl, pth = (read_weights(GOLDEN / f"detectron2_r50c4.{suffix}") for suffix in ("pkl", "pth"))
    caffe2 = read_weights(GOLDEN / "caffe2_r50.pkl")
    assert_same(pkl.state, pth.state)
    assert len(pkl.state) == 275
    assert pkl.leftover == pth.leftover == caffe2.leftover == []
    trunk = {n.removeprefix("net."): t for n, t in pkl.state.items() if n.startswith("net.")}
    assert_same({n: t for n, t in caffe2.state.items() if not n.startswith("fc.")}, trunk)


@needs_golden
@pytest.mark.shared
def test_golden_files_fill_a_detector_completely() -> None:
    whole = load_weights(small_detector(), read_weights(GOLDEN / "detectron2_r50c4.pkl"))
    assert (whole.missing, whole.unexpected, whole.mismatched) == ([], [], [])
    assert str(whole) == ("detectron2_r50c4.pkl (detectron2): 275 of 275 tensors of conv1..conv5, rpn, head matched")
    trunk = load_weights(small_detector(), read_weights(GOLDEN / "caffe2_r50.pkl"), allow_missing=("rpn", "head"))
    assert str(trunk) == (
        "caffe2_r50.pkl (caffe2): 265 of 265 tensors of conv1..conv5 matched; new: rpn.*, head.*; unused: fc.*"
    )
