"""Configs build the intended nets, and every mistake in a config is named."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.paths import CONFIGS, shipped_configs
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.engine.config import build, find_config
from resdet.engine.config_text import config_text
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run
from resdet.engine.schedule import Cosine, MultiStep
from resdet.errors import UserError
from resdet.localization.class_rpn import ClassRPN
from resdet.localization.crop_regression import CropRegression
from resdet.nets.blocks import BasicBlock, Bottleneck
from resdet.recipes.detection.trainer import train_jointly
from resdet.recipes.sections import load_config

CLASSES = {
    "coco": 80, "coco128": 80, "det": 200, "detectron2": 80, "fruit": 3, "shapes": 8, "voc07": 20,
    "voc12": 20, "cifar10": 10, "imagenet": 1000, "loc": 1000, "tiny": 50,
}  # fmt: skip


def test_packaged_configs_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = load_config("voc07_r50")
    assert cfg.schedule.steps == 80_000
    assert cfg.model.num_classes == 20


@pytest.mark.parametrize("path", shipped_configs(), ids=lambda p: p.stem)
def test_every_config_builds_the_net_that_it_says(path: Path) -> None:
    cfg = load_config(path)
    detector = "model" in cfg
    with torch.device("meta"):
        model = build(cfg.model if detector else cfg.net)
    classes = 20 if path.stem.endswith("_voc") else CLASSES[path.stem.removeprefix("compare_").partition("_")[0]]
    net = model.net if detector else model
    if re.search(r"(^|_)loc(_|$)", path.stem):
        assert isinstance(model, CropRegression if path.stem.endswith("_pcr") else ClassRPN)
        assert (model.num_classes, len(model.deltas.weight) % classes, net.fc) == (classes, 0, None)
    elif detector:
        assert isinstance(model, FasterRCNN)
        assert (model.num_classes, model.head.scores.out_features, net.fc) == (classes, classes + 1, None)
    else:
        assert net.fc.out_features == classes
    named = re.search(r"_(r|plain|vgg)(\d+)", path.stem)
    assert net.depth == (int(named[2]) if named else 18)
    blocks = [m for m in net.modules() if isinstance(m, BasicBlock | Bottleneck)]
    assert {block.residual for block in blocks} == (set() if "vgg" in path.stem else {"plain" not in path.stem})
    steps = [step.schedule for step in cfg.alternating.values()] if cfg.get("alternating") else [cfg.schedule]
    assert all(callable(build(schedule)) for schedule in steps)
    assert set(cfg.loop) <= set(LoopSettings.__dataclass_fields__)
    build_sgd(nn.Linear(2, 2), images=cfg.data.images, **cfg.optimizer)
    assert "type=" in config_text(cfg)


def test_a_config_does_not_change_its_base() -> None:
    depths = [load_config(name).model.net.depth for name in ("voc07_r50", "voc07_r101", "voc12_r101", "voc07_r50")]
    assert depths == [50, 101, 101, 50]


def test_options_replace_values_also_in_lists() -> None:
    cfg = load_config("voc07_r50", {"schedule.steps": 7, "model.net.depth": 34, "data.augment.0.p": 0.25})
    assert (cfg.schedule.steps, cfg.model.net.depth, cfg.data.augment[0].p) == (7, 34, 0.25)
    assert cfg.schedule.milestones == (60_000,)


def test_an_unknown_config_names_the_nearest_ones() -> None:
    with pytest.raises(
        UserError, match=r"no config 'voc08_r50' \(did you mean voc07_r50, voc12_r50 or \w+\?\): give a file"
    ):
        load_config("voc08_r50")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("schedule.stepz", r"there is no 'stepz' \(did you mean steps"),
        ("shedule.steps", r"there is no section 'shedule' \(did you mean schedule\?\)"),
        ("data.augment.3.p", "there is no item '3' in a list of 1"),
        ("testing.refinement.round", r"there is no 'round' \(did you mean rounds"),
        ("model.rpn.hidden.x", "there is no 'x'; there is nothing"),
    ],
)
def test_an_unknown_option_is_named_with_the_nearest(key: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"^--cfg-options {key}: {message}"):
        load_config("voc07_r50", {key: 1})


def test_an_option_reaches_values_that_the_config_leaves_at_their_defaults() -> None:
    cfg = load_config("voc07_r50", {"testing.refinement.rounds": 2, "model.rpn.beta": 0, "data.test.annotated": False})
    assert (cfg.testing.refinement.rounds, cfg.testing.refinement.voting_iou) == (2, 0.5)
    assert (cfg.model.rpn.beta, cfg.data.test.annotated) == (0, False)


@pytest.mark.parametrize("path", ["elsewhere/voc07_r50.py", "voc07_r50.py", "./voc07_r50", "/voc07_r50.py"])
def test_a_path_that_is_not_there_is_never_taken_for_a_packaged_config(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=rf"{path} is not there; the config .* that comes with resdet is 'voc07_r50' alone"
    ):
        load_config(path)
    (tmp_path / "voc07_r5.py").touch()
    with pytest.raises(UserError, match=r"no config 'voc07_r6\.py' \(did you mean voc07_r5\.py\?\)"):
        load_config("voc07_r6.py")


def test_a_config_with_an_error_is_named(tmp_path: Path) -> None:
    for text, error in (("x = = 1\n", "SyntaxError"), ("x = 1 / 0\n", "ZeroDivisionError")):
        (tmp_path / "mine.py").write_text(text)
        with pytest.raises(UserError, match=rf"mine\.py: the config cannot be read: {error}"):
            load_config(tmp_path / "mine.py")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("optimizer = ", "optimzer = ", r"'optimzer' is not read; did you mean 'optimizer'"),
        ("schedule = ", "schedules = ", r"'schedules' is not read; did you mean 'schedule'"),
        ("workers=0", "worker=0", r"typo\.py: data\.worker: DetectionData takes no 'worker' \(did you mean workers"),
        ("images=2, ", "", r"DetectionData: 'images' is not set; DetectionData needs it"),
        ("log_every=1", "log_evry=1", r"loop\.log_evry: LoopSettings takes no 'log_evry' \(did you mean log_every"),
        ("regions=16", "region=16", r"model\.head\.region: HeadSettings takes no 'region' \(did you mean regions"),
        ("reference_images=2", "referenceimages=2", r"optimizer\.referenceimages: .*\(did you mean reference_images"),
        ("lr=0.001", "images=2", r"optimizer\.images: build_sgd takes no 'images'"),
        ("detection.rpn import", "detection.rpns import", r"typo\.py: a class cannot be imported: .*rpns"),
        ("type=HeadSettings", "type='HeadSettings'", r"model\.head\.type is 'HeadSettings'; wanted: a class"),
    ],
)
def test_misspelt_and_missing_keys_of_a_config_are_named(
    old: str, new: str, message: str, det_config: Path, tmp_path: Path
) -> None:
    text = det_config.read_text()
    assert old in text
    (tmp_path / "typo.py").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        train_jointly(load_config(tmp_path / "typo.py"), Run(tmp_path / "run", torch.device("cpu"), "fp32"))
    assert "\n" not in str(caught.value)


def test_a_constant_is_not_taken_for_a_misspelt_section(det_config: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f'DATA = "elsewhere"\n{det_config.read_text()}')
    assert load_config(tmp_path / "mine.py").data.images == 2
    with pytest.raises(UserError, match="DATA is a constant that was used when the file was read"):
        load_config(tmp_path / "mine.py", {"DATA": "here"})


def test_build_names_arguments_that_a_class_does_not_take() -> None:
    assert build({"type": MultiStep, "steps": 3}) == MultiStep(steps=3)
    assert build({"a": [{"type": Cosine, "steps": 2}], "b": (1, "x")}) == {"a": [Cosine(2)], "b": (1, "x")}
    with pytest.raises(UserError, match=r"MultiStep\.step: MultiStep takes no 'step' \(did you mean steps"):
        build({"type": MultiStep, "step": 3})
    with pytest.raises(UserError, match=r"MultiStep: 'steps' is not set; MultiStep needs it"):
        build({"type": MultiStep})


def test_reading_a_config_imports_no_torch() -> None:
    code = "import sys, resdet.engine.config as c; c.read_config('voc07_r50'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("file", sorted((CONFIGS.parent / "resdet" / "engine").glob("*.py")), ids=lambda p: p.stem)
def test_the_engine_imports_no_task(file: Path) -> None:
    tree = ast.parse(file.read_text())
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = {module.split(".")[1] for module in modules if module.startswith("resdet.")}
    assert ours <= {"engine", "errors", "ranges"}


@pytest.mark.parametrize("name", ["data.yaml", "labels.json", "photos"])
def test_a_data_set_in_the_place_of_a_config_is_told_how_to_get_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir() if name == "photos" else path.write_text("names: [apple]")
    with pytest.raises(UserError, match=r"(is no config|is a folder).*'resdet new-config .* --out configs/mine\.py'"):
        find_config(path)
