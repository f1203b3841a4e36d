"""Weights of every origin: the same numbers under our names, the right preprocessing, and nothing that runs code."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from resdet.cli import export_weights
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.engine.checkpoint import save_checkpoint
from resdet.errors import UserError
from resdet.nets.preprocess import Preprocess
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.weights import names
from resdet.weights.unpickle import read_arrays
from resdet.weights.weights import Weights, load_weights, read_weights, to_detectron2, to_torchvision

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden files lie outside of the repository")

MSRA_MEAN = [123.675, 116.28, 103.53]
REFUSED = "asks to run"
CAFFE2_BN = ("gamma", "beta", "running_mean", "running_var")
BN = ("weight", "bias", "running_mean", "running_var")


class Detector(nn.Module):
    """The names of a Faster R-CNN on a ResNet, without what it computes."""

    def __init__(self, net: ResNet, num_classes: int = 5, num_anchors: int = 15) -> None:
        super().__init__()
        self.net = net
        c, c5 = net.trunk_channels, net.channels
        self.rpn = nn.ModuleDict(
            {
                "conv": nn.Conv2d(c, c, 3, padding=1),
                "objectness": nn.Conv2d(c, num_anchors, 1),
                "deltas": nn.Conv2d(c, 4 * num_anchors, 1),
            }
        )
        self.head = nn.ModuleDict(
            {"scores": nn.Linear(c5, num_classes + 1), "deltas": nn.Linear(c5, 4 * num_classes)},
        )


def small_detector(**options: int) -> Detector:
    return Detector(ResNet(50, num_classes=None, width=1 / 8), **options)


def small_resnet(**options: object) -> ResNet:
    return ResNet(18, num_classes=7, width=1 / 16, **options)  # type: ignore[arg-type]


def own_checkpoint(module: nn.Module, path: Path, **more: object) -> Path:
    torch.save({"format": "resdet", "model": module.state_dict(), **more}, path)
    return path


def caffe2_blobs(channels: int = 4) -> dict[str, np.ndarray]:
    """conv1 and one block of an MSRA ResNet, random."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)

    blobs = {"conv1_w": draw(channels, 3, 7, 7)}
    for layer in ("branch2a", "branch2b", "branch2c", "branch1"):
        blobs[f"res2_0_{layer}_w"] = draw(channels, channels, 1, 1)
    for layer in ("res_conv1", *(f"res2_0_{b}" for b in ("branch2a", "branch2b", "branch2c", "branch1"))):
        for tensor in CAFFE2_BN:
            blobs[f"{layer}_bn_{tensor}"] = draw(channels)
    return blobs


def dump(data: object, path: Path, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    return path


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert different == []


def calibrated(net: nn.Module) -> nn.Module:
    """BN statistics of a batch: with those of a new net, lost ones would not show, and deep ones overflow."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        net.train()(torch.randn(4, 3, 96, 96))
    return net.eval()


# torchvision ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "stride_on"), [(18, None), (34, None), (50, "3x3"), (101, "3x3"), (152, "3x3")])
def test_torchvisions_nets_and_ours_give_the_same_logits_both_ways(
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
def test_torchvisions_vggs_and_ours_give_the_same_logits(depth: int, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("mean", [(123.675, 116.28, 103.53), (90.0, 100.0, 110.0)])
def test_a_detector_goes_to_detectron2_s_names_and_back(mean: tuple[float, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = FasterRCNN(ResNet(50, None, width=0.125), 4)
    for name, buffer in ours.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 2)
    ours.net.preprocess.mean.copy_(torch.tensor(mean))  # blue above red: then the means do not tell the order
    save_checkpoint(tmp_path / "ours.pth", {"model": ours.state_dict(), "stride_on": "1x1", "classes": list("abcd")})
    export_weights.main([str(tmp_path / "ours.pth"), "--to", "detectron2", "--out", str(tmp_path / "theirs.pkl")])
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
def test_detectron2_s_own_file_is_exported_as_it_was(tmp_path: Path) -> None:
    export_weights.main([str(GOLDEN / "detectron2_r50c4.pkl"), "--to", "detectron2", "--out", str(tmp_path / "b.pkl")])
    before, after = (read_arrays(path)["model"] for path in (GOLDEN / "detectron2_r50c4.pkl", tmp_path / "b.pkl"))
    shared = [name for name in before if name in after]
    assert len(shared) == len(after.keys() - {"pixel_mean", "pixel_std"})
    for name in shared:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def test_what_detectron2_has_no_names_for_is_refused(tmp_path: Path) -> None:
    net, detector = ResNet(18, 3, width=0.125), FasterRCNN(VGG(16, None, width=0.125), 4, head=HeadSettings(bins=7))
    save_checkpoint(tmp_path / "net.pth", {"model": net.state_dict()})
    save_checkpoint(tmp_path / "vgg.pth", {"model": detector.state_dict()})
    wide = FasterRCNN(ResNet(50, None, width=0.125), 4, head=HeadSettings(context=True))
    save_checkpoint(tmp_path / "context.pth", {"model": wide.state_dict()})
    refused = {
        "net": "holds a net alone",
        "vgg": "detectron2's C4 detectors have no such tensor",
        "context": "has global context, which detectron2's C4 detectors do not have",
    }
    for name, message in refused.items():
        with pytest.raises(UserError, match=message):
            to_detectron2(read_weights(tmp_path / f"{name}.pth"))


def test_torchvisions_vgg_starts_a_detector_and_comes_back(tmp_path: Path) -> None:
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


def test_a_vgg_of_convolutions_alone_is_refused(tmp_path: Path) -> None:
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
    with pytest.raises(UserError, match=r"^net\.preprocess\.mean: .* state of a net alone"):
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


# Caffe2 and detectron2 -----------------------------------------------------------------------------------------------


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
def test_the_same_tensor_under_every_name(row: str) -> None:
    caffe2, detectron2, torchvision_name, ours = row.split()
    assert names.from_caffe2(caffe2) == ours
    assert names.from_detectron2(detectron2) == ours
    assert names.TORCHVISION.translate(torchvision_name) == ours
    assert names.TORCHVISION.inverse().translate(ours) == torchvision_name


@pytest.mark.parametrize("name", ["conv_rpn_w", "lr", "res2_0_branch2d_w", "roi_heads.box_head.fc1.weight", "fpn.res2"])
def test_names_without_a_place_in_our_nets(name: str) -> None:
    assert [names.from_caffe2(name), names.from_detectron2(name), names.TORCHVISION.translate(name)] == [None] * 3


def detectron2_resnet() -> dict[str, np.ndarray]:
    """A small ResNet under detectron2's names, in RGB."""
    scheme = names.DETECTRON2.inverse()
    state = ResNet(50, num_classes=2, width=1 / 16).state_dict()
    return {t: v.numpy() for n, v in state.items() if "num_batches" not in n and (t := scheme.translate(n))}


def test_torchvisions_resnets_in_detectron2_form_keep_their_preprocessing(tmp_path: Path) -> None:
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
def test_golden_files_fill_a_detector_without_rest() -> None:
    whole = load_weights(small_detector(), read_weights(GOLDEN / "detectron2_r50c4.pkl"))
    assert (whole.missing, whole.unexpected, whole.mismatched) == ([], [], [])
    assert str(whole) == ("detectron2_r50c4.pkl (detectron2): 275 of 275 tensors of conv1..conv5, rpn, head matched")
    trunk = load_weights(small_detector(), read_weights(GOLDEN / "caffe2_r50.pkl"), allow_missing=("rpn", "head"))
    assert str(trunk) == (
        "caffe2_r50.pkl (caffe2): 265 of 265 tensors of conv1..conv5 matched; new: rpn.*, head.*; unused: fc.*"
    )


# Our own -------------------------------------------------------------------------------------------------------------


def test_our_checkpoints_bring_their_preprocessing(tmp_path: Path) -> None:
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


# What does not fit ---------------------------------------------------------------------------------------------------


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


# Bad files -----------------------------------------------------------------------------------------------------------


class Call:
    """Pickles to a call of `function`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", ["system", "eval", "open"])
def test_a_malicious_pickle_runs_nothing(function: str, protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = {
        "system": Call(os.system, f"touch {mark}"),
        "eval": Call(eval, f"open({str(mark)!r}, 'w')"),
        "open": Call(open, str(mark), "w"),
    }[function]
    path = dump(caffe2_blobs() | {"conv1_w": call}, tmp_path / "R-50.pkl", protocol)
    with pytest.raises(UserError, match=rf"R-50\.pkl: .*{REFUSED}") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert not mark.exists()
    subprocess.run([sys.executable, "-c", f"import pickle; pickle.load(open({str(path)!r}, 'rb'))"], check=True)
    assert mark.exists()  # the file does what it says, when one lets it


def test_a_malicious_torch_file_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"format": "resdet", "model": Call(os.system, f"touch {mark}")}, tmp_path / "last.pth")
    with pytest.raises(UserError, match=REFUSED):
        read_weights(tmp_path / "last.pth")
    assert not mark.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"\x80\x04\x8c\x16numpy.core.multiarray\x8c\x1f_reconstruct.__globals__.system\x93.",
        b"\x80\x02cnumpy.core.multiarray\nfromfile\n.",
        b"\x80\x02cnumpy\nload\n.",
        b"cos\nsystem\n(S'true'\ntR.",
    ],
    ids=["attribute path", "other function", "numpy.load", "protocol 0"],
)
def test_nothing_but_array_parts_can_be_named(opcodes: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(opcodes)
    with pytest.raises(UserError, match=r"asks to run|not a whole weights file"):
        read_weights(tmp_path / "x.pkl")


def test_a_file_cannot_alter_the_reader_for_the_next_one(tmp_path: Path) -> None:
    good = dump(caffe2_blobs(), tmp_path / "good.pkl")
    for name in (b"numpy\nndarray", b"numpy\ndtype", b"numpy.core.multiarray\nscalar", b"_codecs\nencode"):
        # BUILD with (None, {"thaw": None, "__call__": None}) sets attributes on whatever it is given
        (tmp_path / "bad.pkl").write_bytes(b"\x80\x02c" + name + b"\n(N}(X\x04\0\0\0thawNX\x08\0\0\0__call__Nutb.")
        with pytest.raises(UserError):
            read_weights(tmp_path / "bad.pkl")
    assert "conv1.conv.weight" in read_weights(good).state


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    blobs = caffe2_blobs() | {"names": np.array(["a", None], dtype=object)}
    with pytest.raises(UserError, match=r"R-50\.pkl: refused, .*not one of numbers"):
        read_weights(dump(blobs, tmp_path / "R-50.pkl"))


def python2_pickle(name: bytes, values: np.ndarray) -> bytes:
    """{name: values} as cPickle of Python 2 wrote it: text and raw data are both byte strings."""
    shape = b"".join(b"K" + bytes([side]) for side in values.shape)
    raw = values.astype("<f4").tobytes()
    dtype = b"cnumpy\ndtype\nU\x02f4K\0K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01(" + shape + b"t" + dtype
    array += b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    return b"\x80\x02}U" + bytes([len(name)]) + name + array + b"s."


def test_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 7, 7)).astype(np.float32)
    (tmp_path / "R-50.pkl").write_bytes(python2_pickle(b"conv1_w", values))
    read = read_weights(tmp_path / "R-50.pkl").state["conv1.conv.weight"]
    np.testing.assert_array_equal(read.numpy(), values[:, ::-1])


def test_every_kind_of_number_array_survives(tmp_path: Path) -> None:
    kinds = {
        "plain": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.array([0.5, 1.5], np.float16),
        "double": np.array([0.5, 1.5]),
        "big-endian": np.array([1.0, 2.0], ">f4"),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "no axes": np.array(3, np.int64),
        "scalar": np.float32(2.5),
    }
    for protocol in (2, 3, 4):
        path = dump(caffe2_blobs() | kinds, tmp_path / "R-50.pkl", protocol)
        assert read_weights(path).leftover == list(kinds)
        read = read_arrays(path)
        for name, array in kinds.items():
            np.testing.assert_array_equal(read[name], array, err_msg=name)


@pytest.mark.parametrize("suffix", ["pkl", "pth"])
def test_truncated_files_are_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net.{suffix}"
    if suffix == "pkl":
        dump(caffe2_blobs(), path)
    else:
        own_checkpoint(small_resnet(), path)
    whole = path.read_bytes()
    for size in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=rf"net\.{suffix}: .*(truncated|no named tensors)") as caught:
            read_weights(path)
        assert "\n" not in str(caught.value)


def test_missing_and_unknown_files_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.pkl: no such weights file; check the path"):
        read_weights(tmp_path / "none.pkl")
    with pytest.raises(UserError, match="is a folder"):
        read_weights(tmp_path)
    (tmp_path / "page.pkl").write_text("<!DOCTYPE html><html>Sign in</html>")
    with pytest.raises(UserError, match=r"page\.pkl: not a whole weights file"):
        read_weights(tmp_path / "page.pkl")
    torch.save(torchvision.models.squeezenet1_1(num_classes=1).state_dict(), tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"net\.pth: not a net that resdet knows .*features\.0\.weight"):
        read_weights(tmp_path / "net.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"list\.pth: .*holds no named tensors"):
        read_weights(tmp_path / "list.pth")
