"""Exported classifiers and localizers answer in ONNX Runtime, and by their script, as they do in torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from helpers.commands import ON_CPU, error_line, export, train_cls, train_loc
from helpers.localizers import make_class_rpn
from resdet.classification.classifier import Classifier
from resdet.classification.onnx import export_onnx as export_classifier
from resdet.data.images import read_image
from resdet.data.localization.crops import CenterCropWithBoxes
from resdet.data.localization.dataset import LocalizedImage
from resdet.data.transforms import CenterCrop
from resdet.engine.config import build
from resdet.localization.crop_regression import CropRegression
from resdet.localization.inference import keep_best
from resdet.localization.onnx import export_onnx as export_localizer
from resdet.nets.backbone import Net
from resdet.nets.cifar_resnet import CifarResNet
from resdet.nets.onnx_file import CropFacts
from resdet.nets.resnet import ResNet
from resdet.recipes.localization.build import load_localizer
from resdet.recipes.sections import load_config
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights

# Runs a script in an interpreter where neither package can be imported.
ALONE = (
    "import runpy, sys; sys.modules.update(torch=None, resdet=None); sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def run_script(model: Path, photo: Path, *words: str) -> list[dict]:
    """The lines that the script beside an exported file prints."""
    command = [sys.executable, "-c", ALONE, model.with_name("run_onnx_crop.py"), model, photo, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("make", "side"), [(lambda: ResNet(18, 3, 0.125), 64), (lambda: CifarResNet(20), 32)], ids=["resnet", "cifar"]
)
@torch.no_grad()
def test_a_classifiers_probabilities_are_those_of_torch(make: Callable[[], Net], side: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = make()
    assert net.fc is not None
    net.fc.weight *= 0.1  # logits of hundreds, as random weights give, would magnify the last bits
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_var.uniform_(0.5, 1.5)
            layer.running_mean.normal_(0, 0.2)
    classes = [f"c{k}" for k in range(net.fc.out_features)]
    export_classifier(net, tmp_path / "c.onnx", CropFacts(classes, side, 256))
    session = onnxruntime.InferenceSession(tmp_path / "c.onnx")
    for count in (1, 2, 5):
        crops = torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8)
        (found,) = session.run(None, {"crops": crops.numpy()})
        np.testing.assert_allclose(found, Classifier(net).eval().predict(crops.permute(0, 3, 1, 2)), atol=1e-5)


def test_the_script_classifies_as_the_checkpoint(cls_config: Path, photos: Path, tmp_path: Path) -> None:
    train_cls([str(cls_config), "--work-dir", str(tmp_path / "run"), *ON_CPU])
    export([str(tmp_path / "run/last.pth"), "--out", str(tmp_path / "out/classifier.onnx")])
    found = run_script(tmp_path / "out/classifier.onnx", photos / "wide.png")
    cfg, weights = load_config(tmp_path / "run/last.pth"), read_weights(tmp_path / "run/last.pth")
    net = build(cfg.net)
    load_weights(net, weights)
    crop = torch.from_numpy(CenterCrop(32)(read_image(photos / "wide.png")))
    expected = Classifier(net).eval().predict(crop.permute(2, 0, 1)[None])[0]
    assert [row["class"] for row in found] == [weights.classes[k] for k in expected.argsort(descending=True)]
    np.testing.assert_allclose([row["probability"] for row in found], expected.sort(descending=True)[0], atol=1e-4)


@pytest.mark.parametrize("kind", ["conv4", "conv5", "regression"])
def test_a_localizers_best_boxes_are_those_of_torch(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    if kind == "regression":
        model = CropRegression(ResNet(18, None, 0.125), 5)
        torch.nn.init.normal_(model.deltas.weight, std=0.3)
    else:
        model = make_class_rpn(stage=kind)
    model.eval()
    export_localizer(model, tmp_path / "l.onnx", CropFacts(list("abcde"), 96, 256))
    session = onnxruntime.InferenceSession(tmp_path / "l.onnx")
    for labels in ([3], [0, 4, 2], [1, 1, 0, 2, 3, 4]):
        crop = torch.randint(0, 256, (96, 96, 3), dtype=torch.uint8)
        boxes, scores = session.run(None, {"crop": crop.numpy(), "labels": np.array(labels)})
        with torch.no_grad():
            logits, candidates = model.candidates(crop.permute(2, 0, 1)[None], torch.tensor([labels]))
        best, expected = keep_best(candidates, logits, 1, None).best(torch.tensor([[96, 96]]))
        np.testing.assert_allclose(scores, expected[0].sigmoid(), atol=1e-5)
        np.testing.assert_allclose(boxes, best[0], atol=1e-2)


def test_the_script_localizes_as_the_checkpoint(loc_config: Path, photos: Path, tmp_path: Path) -> None:
    train_loc([str(loc_config), "--work-dir", str(tmp_path / "run"), *ON_CPU])
    last = tmp_path / "run/last.pth"
    export([str(last), "--to", "onnx"])
    found = run_script(last.with_suffix(".onnx"), photos / "wide.png", "--classes", "n02", "n01")
    assert [row["class"] for row in found] == ["n02", "n01"]
    image = read_image(photos / "wide.png")
    view = CenterCropWithBoxes(32)(LocalizedImage(image, 0, np.zeros((0, 4), np.float32), image.shape[:2]))
    model = load_localizer(load_config(last), ["n01", "n02"], last)
    with torch.no_grad():
        crop = torch.from_numpy(view.image).permute(2, 0, 1)[None]
        logits, candidates = model.candidates(crop, torch.tensor([[1, 0]]))
    best, scores = keep_best(candidates, logits, 1, None).best(torch.tensor([[32, 32]]))
    np.testing.assert_allclose([row["box"] for row in found], best[0].numpy() / view.scale + view.offset, atol=0.05)
    np.testing.assert_allclose([row["score"] for row in found], scores[0].sigmoid(), atol=1e-4)


def test_another_form_is_refused(cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({}, tmp_path / "net.pth")
    words = [tmp_path / "net.pth", "--config", cls_config, "--out", tmp_path / "c.safetensors"]
    assert "a classifier is exported as .onnx only" in error_line(export, words, capsys)
