"""An exported detector takes the place of its checkpoint in every command that detects; all else is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import resdet
from helpers import commands
from helpers.commands import Main, error_line, errors, eval_coco, eval_voc, export, predict, to_fiftyone
from resdet.classification.onnx import export_onnx as export_classifier
from resdet.detection.inference import InferenceSettings
from resdet.engine.kept_config import kept_config
from resdet.errors import UserError
from resdet.nets.cifar_resnet import CifarResNet
from resdet.nets.onnx_file import CropFacts
from resdet.recipes.detection.inference import Detects
from resdet.recipes.detection.onnx_detector import OnnxDetector
from resdet.recipes.detection.quantize import quantize
from resdet.report.image_files import save_image
from resdet.structures import Detections

CPU = ["--device", "cpu"]
FP32 = [*CPU, "--precision", "fp32"]  # of the checkpoint; an exported file has its own


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The detector's export in fp32."""
    path = tmp_path_factory.mktemp("exported") / "detector.onnx"
    export([str(trained), "--out", str(path)])
    return path


@pytest.fixture(scope="module")
def int8(exported: Path) -> Path:
    """The same in int8, calibrated on noise."""
    path = exported.with_name("int8.onnx")
    quantize(exported, path, [noise(64, 80), noise(80, 64)])
    return path


@pytest.fixture(scope="module")
def annotated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a test set in which the checkpoint is good: the truth is what it detects, in whole pixels."""
    folder = tmp_path_factory.mktemp("annotated")
    for size in ((80, 100), (100, 80), (120, 90)):
        save_image(folder / f"{size[0]}.png", noise(*size))
    words = ["--threshold", "0", "--save-annotations", "voc", "--out", str(folder / "out")]
    predict([str(trained), str(folder), *FP32, *words])
    return ["--cfg-options", f"data.test.root={folder / 'out/voc'}", 'data.test.splits=[("", "all")]']


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)


def changed(path: Path, target: Path, **facts: Any) -> Path:
    """A copy of a file with other metadata; None removes an entry."""
    model = onnx.load(path)
    kept = {one.key: one.value for one in model.metadata_props} | {k: json.dumps(v) for k, v in facts.items()}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {k: v for k, v in kept.items() if v != "null" or k == "long"})
    onnx.save(model, target)
    return target


def assert_same(found: Detections, expected: Detections) -> None:
    """Equal up to rounding, which may change the order of scores that are almost equal."""
    assert len(found) == len(expected) > 0
    other = (found.labels[:, None] != expected.labels) | ((found.scores[:, None] - expected.scores).abs() > 1e-4)
    apart = (found.boxes[:, None] - expected.boxes).abs().amax(2).masked_fill(other, torch.inf)
    assert apart.amin(1).max() < 1e-3
    assert len(set(apart.argmin(1).tolist())) == len(found)


def test_detections_are_those_of_the_checkpoint_for_images_of_any_size(trained: Path, exported: Path) -> None:
    checkpoint = resdet.load_detector(trained, device="cpu", precision="fp32")
    detector = resdet.load_detector(exported, device="cpu")
    images = [noise(*size) for size in ((80, 100), (100, 80), (300, 211), (64, 64), (30, 400))]
    together = detector.detect(images)  # padded to one shape
    for image, found in zip(images, together, strict=True):
        assert_same(found, checkpoint(image))
        assert_same(detector(image), found)
        assert found.image_size == image.shape[:2]
        assert (found.boxes >= 0).all()
        assert (found.boxes <= torch.tensor([image.shape[1], image.shape[0]] * 2)).all()
    assert detector.classes == checkpoint.classes == ["apple", "pear"]


@pytest.mark.parametrize("main", [eval_voc, eval_coco], ids=["voc", "coco"])
def test_the_figures_are_those_of_the_checkpoint(
    main: Main, trained: Path, exported: Path, annotated: list[str], tmp_path: Path
) -> None:
    main([str(trained), *FP32, *annotated, "--json", str(tmp_path / "pth.json")])
    main([str(exported), *CPU, *annotated, "--json", str(tmp_path / "onnx.json")])
    expected, found = (json.loads((tmp_path / name).read_text()) for name in ("pth.json", "onnx.json"))
    assert found["mAP50"] > 0.3
    for name in ("mAP50", "mAP50_95"):
        assert found[name] == pytest.approx(expected[name], abs=1e-4)
    assert found["detections"] == expected["detections"]
    assert "s per image" in (exported.parent / "eval.log").read_text()


def test_evaluate_takes_it_alone_or_beside_a_config(
    trained: Path, exported: Path, det_config: Path, annotated: list[str]
) -> None:
    options = {"data.test.root": annotated[1].partition("=")[2], "data.test.splits": [("", "all")]}
    figures = resdet.evaluate(exported, options=options, device="cpu")
    assert figures["mAP50"] > 0.3
    beside = resdet.evaluate(det_config, exported, options, device="cpu")
    assert beside == pytest.approx(figures, abs=0, nan_ok=True)
    expected = resdet.evaluate(trained, options=options, device="cpu", precision="fp32")
    assert figures == pytest.approx(expected, abs=1e-4, nan_ok=True)


def test_the_int8_file_keeps_the_config_and_detects(exported: Path, int8: Path) -> None:
    one, other = kept_config(exported), kept_config(int8)
    assert one is not None
    assert other is not None
    assert one.text == other.text
    fp32, found = (resdet.load_detector(path, device="cpu")(noise(80, 100)) for path in (exported, int8))
    assert len(found) > 0
    assert float(found.scores[0]) == pytest.approx(float(fp32.scores[0]), abs=0.02)


def test_predict_writes_what_it_writes_of_the_checkpoint(
    trained: Path, exported: Path, int8: Path, photos: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    options = ["--threshold", "0", "--tile", "64", "--compare", "--save-annotations", "yolo"]
    pages = []
    for file, device in ((trained, FP32), (exported, CPU)):
        out = tmp_path / file.suffix[1:]
        predict([str(file), str(photos), "--out", str(out), *device, *options])
        pages.append(json.loads((out / "detections.json").read_text()))
        assert (out / "yolo").is_dir()
    for expected, found in zip(pages[0]["images"], pages[1]["images"], strict=True):
        tensors = [
            Detections(*(torch.tensor(one[k]) for k in ("boxes", "scores", "labels"))) for one in (found, expected)
        ]
        assert_same(*tensors)
    words = [exported, photos, "--out", tmp_path / "onnx", *CPU, *options[:-2]]
    predict([str(word) for word in words])  # goes on where all is done
    assert "2 of 2 images are done (same weights, same settings)" in caplog.text
    assert "holds detections of other weights" in error_line(predict, [int8, *words[1:]], capsys)


def test_errors_are_compared_with_the_checkpoints_and_fiftyone_gets_the_detections(
    trained: Path, exported: Path, tmp_path: Path
) -> None:
    words = ["--against", str(trained), "--out", str(tmp_path / "errors"), "--json", str(tmp_path / "errors.json")]
    errors([str(exported), *CPU, *words])
    one, other = json.loads((tmp_path / "errors.json").read_text())["detectors"]
    assert one["counts"] == other["counts"]
    to_fiftyone([str(exported), *CPU, "--out", str(tmp_path / "fiftyone"), "--json", str(tmp_path / "count.json")])
    assert json.loads((tmp_path / "count.json").read_text())["detections"] > 0


IMPROVEMENTS = "Appendix B's improvements are not in an exported file"
GRAPH = "an ONNX graph; give the checkpoint that it was exported from"


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("eval-voc", ["FILE", "--refine", "1"], f"{IMPROVEMENTS} (testing.refinement)"),
        ("eval-coco", ["FILE", "--scales", "48", "64", "--flip"], f"{IMPROVEMENTS} (testing.scales, testing.flip)"),
        ("predict", ["FILE", "PHOTOS", "--soft-nms"], f"{IMPROVEMENTS} (testing.soft_nms)"),
        ("predict", ["FILE", "PHOTOS", "--ensemble", "TRAINED"], "cannot be part of an ensemble"),
        ("eval-voc", ["TRAINED", "--checkpoint", "FILE"], "cannot be part of an ensemble"),
        ("eval-voc", ["FILE", "--precision", "fp32"], "the precision that it was exported in; leave it out"),
        ("predict", ["FILE", "PHOTOS", "--precision", "bf16"], "the precision that it was exported in; leave it out"),
        ("errors", ["FILE", "--cfg-options", "model.head.nms_iou=0.4"], "--cfg-options model.head.nms_iou: the model"),
        ("eval-voc", ["FILE", "--record", "r.json"], "figures of exported files are not recorded"),
        ("train-det", ["CONFIG", "--init-from", "FILE", "--work-dir", "OUT"], GRAPH),
        ("new-config", ["CONFIG", "--out", "OUT/c.py", "--init-from", "FILE"], GRAPH),
        ("export", ["FILE", "--to", "safetensors"], GRAPH),
        ("push", ["FILE", "owner/name"], GRAPH),
        ("ablate", ["CONFIG", "--checkpoint", "FILE"], GRAPH),
        ("precise-bn", ["CLASSIFIER", "--checkpoint", "FILE", "--out", "OUT/b.pth"], GRAPH),
        ("benchmark", ["FILE"], "a benchmark builds the config's net in torch"),
    ],
)
def test_what_a_file_cannot_do_is_one_line(
    command: str, words: list[str], message: str, exported: Path, trained: Path, det_config: Path, cls_config: Path,
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    stands = {"FILE": exported, "TRAINED": trained, "PHOTOS": photos, "CONFIG": det_config, "CLASSIFIER": cls_config}
    given = [stands.get(word, word.replace("OUT", str(tmp_path))) for word in words]
    if command == "new-config":
        given[0] = det_config.parent / "devkit"
    out = ["--out", tmp_path / "drawn"] if command == "predict" else []
    main = getattr(commands, command.replace("-", "_"))
    assert message in error_line(main, [*given, *out], capsys)
    assert not (tmp_path / "c.py").exists()


def newer(source: Path, target: Path) -> None:
    """Write a file of an opset that no ONNX Runtime has yet."""
    model = onnx.load(source)
    model.opset_import[0].version = 999
    target.write_bytes(model.SerializeToString())


OTHERS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "cut": (lambda own, p: p.write_bytes(own.read_bytes()[:-100]), "read (Protobuf parsing failed.); export it again"),
    "text": (lambda own, p: p.write_text("hello"), "not a whole ONNX file"),
    "empty": (lambda own, p: p.write_bytes(b""), "not a whole ONNX file"),
    "newer": (lambda own, p: newer(own, p), "or update onnxruntime"),
    "foreign": (lambda own, p: changed(own, p, short=None), "an ONNX file of another program"),
    "classifier": (
        lambda own, p: export_classifier(CifarResNet(8), p, CropFacts(list("abcdefghij"), 32, 256)),
        "an exported classifier or localizer, which runs by its script run_onnx_crop.py alone",
    ),
    "twice": (lambda own, p: changed(own, p, classes=["a", "a"]), "are no list of different names"),
    "three": (lambda own, p: changed(own, p, classes=list("abc")), "has 3 classes, "),
    "code": (lambda own, p: changed(own, p, config="import os; os.abort()"), "keeps no config that can be read"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_files_that_are_no_exported_detector_say_what_they_are(name: str, exported: Path, tmp_path: Path) -> None:
    write, message = OTHERS[name]
    write(exported, tmp_path / "other.onnx")
    with pytest.raises(UserError) as refused:
        resdet.load_detector(tmp_path / "other.onnx", device="cpu")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_of_an_older_version_needs_the_config(exported: Path, det_config: Path, tmp_path: Path) -> None:
    old = changed(exported, tmp_path / "old.onnx", config=None, format=None)
    with pytest.raises(UserError, match=r"old\.onnx keeps no config that can be read.*: export it again, or give the"):
        resdet.load_detector(old, device="cpu")
    found = resdet.load_detector(det_config, old, device="cpu")(noise(80, 100))
    assert_same(found, resdet.load_detector(exported, device="cpu")(noise(80, 100)))
    with pytest.raises(UserError, match=r"add --cfg-options data\.resizer\.short=64 data\.resizer\.long="):
        resdet.load_detector(det_config, old, device="cpu", options={"data.resizer.short": 48})


def test_images_may_be_resized_in_another_way_than_in_the_training(exported: Path, trained: Path) -> None:
    options = {"data.resizer.short": 96, "data.resizer.long": 160}
    expected = resdet.load_detector(trained, device="cpu", precision="fp32", options=options)(noise(80, 100))
    assert_same(resdet.load_detector(exported, device="cpu", options=options)(noise(80, 100)), expected)


def test_without_onnx_runtime_the_package_is_named(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs ONNX Runtime .*: pip install 'resdet\[onnx\]'"):
        resdet.load_detector(exported, device="cpu")


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="ONNX Runtime has CUDA")
def test_a_gpu_that_onnx_runtime_does_not_use_is_named(exported: Path) -> None:
    with pytest.raises(UserError, match="does not compute on cuda; give --device cpu, or install onnxruntime-gpu"):
        OnnxDetector(exported, torch.device("cuda"))


def test_it_has_the_interface_of_what_detects(exported: Path) -> None:
    detector: Detects = OnnxDetector(exported, torch.device("cpu"))
    assert detector.settings == InferenceSettings()
