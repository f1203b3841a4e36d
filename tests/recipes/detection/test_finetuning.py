"""Fine-tuning on other classes: the head's output layers are new, all else is kept, and the log says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers.commands import ON_CPU, train_det
from helpers.configs import DETECTOR
from helpers.datasets import write_voc
from resdet.engine.checkpoint import read_checkpoint, save_checkpoint
from resdet.engine.config import build
from resdet.recipes.sections import load_config


def write_config(folder: Path, classes: tuple[str, ...]) -> Path:
    objects = [(name, 10 + 20 * i, 10, 40 + 20 * i, 50) for i, name in enumerate(classes)]
    write_voc(folder / "devkit", {"trainval": {"a": objects, "b": objects[:1]}, "test": {"c": objects}})
    text = DETECTOR.format(root=str(folder / "devkit")).replace('("apple", "pear")', repr(classes))
    path = folder / "other.py"
    path.write_text(text.replace("num_classes=2", f"num_classes={len(classes)}"))
    return path


@pytest.mark.parametrize("classes", [("apple", "fig", "plum"), ("fig", "plum"), ("apple", "pear")])
def test_the_head_is_kept_only_for_the_same_classes(
    classes: tuple[str, ...], det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(1)
    start = build(load_config(det_config).model).state_dict()
    save_checkpoint(tmp_path / "start.pth", {"model": start, "classes": ["apple", "pear"]})
    still = ["--cfg-options", "schedule.steps=1", "optimizer.lr=0"]
    arguments = [str(write_config(tmp_path, classes)), "--init-from", str(tmp_path / "start.pth"), *ON_CPU, *still]
    train_det([*arguments, "--work-dir", str(tmp_path / "run")])
    said = (tmp_path / "run/run.log").read_text()
    model = read_checkpoint(tmp_path / "run/last.pth")["model"]
    same = {name for name in start if start[name].shape == model[name].shape and torch.equal(start[name], model[name])}
    new = {name for name in start if name not in same}
    if classes == ("apple", "pear"):
        assert not new
        assert "detects other classes" not in said
        return
    assert new <= {name for name in start if name.startswith("head.")}
    assert {"head.scores.weight", "head.deltas.weight"} <= new
    assert "start.pth detects other classes: the head's output layers start from random weights" in said
    assert "new: head.*" in said


def test_a_plain_detector_starts_one_with_context_whose_new_columns_are_zero(det_config: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    start = build(load_config(det_config).model).state_dict()
    save_checkpoint(tmp_path / "plain.pth", {"model": start, "classes": ["apple", "pear"]})
    options = ["--cfg-options", "schedule.steps=1", "optimizer.lr=0", "model.head.context=True"]
    arguments = [str(det_config), "--init-from", str(tmp_path / "plain.pth"), *ON_CPU, *options]
    train_det([*arguments, "--work-dir", str(tmp_path / "run")])
    model = read_checkpoint(tmp_path / "run/last.pth")["model"]
    for name in ("head.scores.weight", "head.deltas.weight"):
        own = start[name].shape[1]
        assert model[name].shape[1] == 2 * own
        assert torch.equal(model[name][:, :own], start[name])
        assert not model[name][:, own:].any()
    assert all(torch.equal(model[name], value) for name, value in start.items() if value.shape == model[name].shape)


def test_the_dropout_of_vgg_resumes_exactly(det_config: Path, tmp_path: Path) -> None:
    text = det_config.read_text().replace(
        "type=ResNet, depth=18, num_classes=None", "type=VGG, depth=16, num_classes=None"
    )
    text = text.replace("head=dict(type=HeadSettings, ", "head=dict(type=HeadSettings, bins=7, ")
    config = tmp_path / "vgg.py"
    config.write_text("from resdet.nets.vgg import VGG\n" + text)
    arguments = [str(config), *ON_CPU, "--cfg-options", "optimizer.lr=0.01", "data.workers=1"]
    for folder in ("straight", "cut"):
        torch.manual_seed(0)
        steps = 4 if folder == "straight" else 2
        train_det([*arguments, f"schedule.steps={steps}", "--work-dir", str(tmp_path / folder)])
    train_det([*arguments, "schedule.steps=4", "--work-dir", str(tmp_path / "cut"), "--resume"])
    one, other = (read_checkpoint(tmp_path / folder / "last.pth")["model"] for folder in ("straight", "cut"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
