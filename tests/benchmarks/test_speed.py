"""The speed benchmark: its output, the check for equal results before timing, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torchvision

from helpers.commands import ON_CPU, benchmark, error_line
from resdet.benchmarks import classifier_speed
from resdet.nets.cifar_resnet import CifarResNet
from resdet.nets.resnet import ResNet


@pytest.mark.parametrize(
    ("mode", "stages"),
    [
        (
            "infer",
            ["trunk", "RPN", "proposals (NMS)", "pooling and conv5", "siblings", "detections (NMS)"],
        ),
        ("train", ["forward", "backward", "update"]),
    ],
)
def test_benchmark_prints_the_stages(
    mode: str, stages: list[str], det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--mode", mode, "--size", "64x96", "--proposals", "8", "--repeats", "2", *ON_CPU]
    benchmark([str(det_config), *options, "--json", str(tmp_path / "speed.json")])
    printed = capsys.readouterr().out
    assert all(stage in printed for stage in stages)
    assert "s per image" in printed
    figures = json.loads((tmp_path / "speed.json").read_text())
    assert list(figures["stages"]) == stages
    assert figures["seconds"] > 0
    assert figures["gflop"] > 0
    assert (figures["mode"], figures["precision"]) == (mode, "fp32")


def test_vgg_and_the_improved_tests_are_timed_too(
    det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--size", "96x128", "--proposals", "8", "--repeats", "1", *ON_CPU]
    benchmark(["voc07_vgg16", *options, "--cfg-options", "model.net.width=0.125"])
    assert "conv5" in capsys.readouterr().out
    benchmark([str(det_config), *options, "--refine", "--scales", "64", "96", "--json", str(tmp_path / "s.json")])
    stages = json.loads((tmp_path / "s.json").read_text())["stages"]
    assert list(stages) == [
        "trunk",
        "RPN and proposals",
        "pooling and conv5",
        "siblings",
        "refinement",
        "NMS and voting",
    ]
    assert "has no effect on this benchmark" in error_line(
        benchmark, [det_config, "--mode", "train", "--refine", *ON_CPU], capsys
    )


def test_benchmark_refuses_an_invalid_size(det_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--size 600: give height x width" in error_line(benchmark, [det_config, "--size", "600"], capsys)


@pytest.mark.parametrize(
    ("mode", "pooling", "depth", "bins"),
    [("infer", "pool", 18, 14), ("infer", "align", 50, 14), ("infer", "align", 50, 7), ("train", "align", 18, 7)],
)
def test_torchvision_gives_the_same_results_before_it_is_timed(
    mode: str, pooling: str, depth: int, bins: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--mode", mode, "--size", "96x144", "--proposals", "16", "--repeats", "1", *ON_CPU]
    head = [f"model.head.pooling={pooling}", f"model.head.bins={bins}"]
    config = ["--cfg-options", f"model.net.depth={depth}", *head]
    json_file = tmp_path / "speed.json"
    benchmark(["voc07_r50", "--against", "torchvision", *options, "--json", str(json_file), *config])
    assert "torchvision fp32" in capsys.readouterr().out
    figures = json.loads(json_file.read_text())
    assert set(figures["differences"]) == {"map", "logits", "deltas", "proposals", "scores", "boxes"}
    differences = figures["differences"]
    in_pixels = differences.pop("proposals"), differences.pop("boxes")
    assert max(differences.values()) < 1e-3
    assert max(in_pixels) < 1e-2  # fp32 rounds deltas by up to 4e-6 (without AVX-512), of anchors of 512 pixels
    assert list(figures["seconds"]) == ["resdet fp32", "torchvision fp32"]


def test_a_net_that_torchvision_lacks_is_not_compared(det_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = error_line(benchmark, [det_config, "--against", "torchvision", "--size", "64x96", *ON_CPU], capsys)
    assert "torchvision has no such detector" in error


def test_running_out_of_memory_says_which_setting_to_lower(
    det_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_line(benchmark, [det_config, "--size", "9000000x9000000", *ON_CPU], capsys)  # a petabyte of pixels
    assert "too little memory; lower data.images" in error


def test_data_loading_is_timed_against_torchvision(
    photos: Path, det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--photos", str(photos), "--repeats", "1", "--json", str(tmp_path / "data.json")]
    benchmark([str(det_config), *options])
    figures = json.loads((tmp_path / "data.json").read_text())
    assert figures["resdet"] > 0
    assert figures["torchvision"] > 0
    (tmp_path / "none").mkdir()
    error = error_line(benchmark, [det_config, "--photos", tmp_path / "none"], capsys)
    assert "no .jpg or .png" in error


@pytest.mark.parametrize("config", ["cifar10_r20", "imagenet_r18"])
def test_classifier_training_is_timed_against_the_reference_loop(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_speed, "STEPS", 1)
    small = ["--cfg-options", "data.train_view.size=64"] if config == "imagenet_r18" else []
    options = ["--against", "torchvision", "--images", "4", "--repeats", "1", *ON_CPU]
    benchmark([config, *options, "--json", str(tmp_path / "speed.json"), *small])
    assert "images per second" in capsys.readouterr().out
    figures = json.loads((tmp_path / "speed.json").read_text())
    assert list(figures["medians"]) == ["resdet fp32", "torchvision fp32"]
    assert min(figures["medians"].values()) > 0


def test_the_reference_net_is_torchvisions_with_the_same_outputs() -> None:
    peer = classifier_speed.references_net(ResNet(50, num_classes=7).train())
    assert isinstance(peer, torchvision.models.ResNet)
    assert peer.layer2[0].conv1.stride == (2, 2)  # the paper's place
    assert isinstance(classifier_speed.references_net(CifarResNet(20)), CifarResNet)


def test_classifier_data_loading_is_timed_against_image_folder(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--photos", str(photos), "--repeats", "1", "--json", str(tmp_path / "data.json")]
    benchmark(["imagenet_r50", *options])
    figures = json.loads((tmp_path / "data.json").read_text())
    assert min(figures["resdet"], figures["torchvision"]) > 0
    assert "'data.train_view' is not set" in error_line(benchmark, ["cifar10_r20", *options], capsys)
