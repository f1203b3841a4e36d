"""A checkpoint is tested with what it was trained with, from its own config or beside another, unless the user asks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import resdet
from helpers.commands import (
    ON_CPU,
    Main,
    error_line,
    eval_cls,
    eval_coco,
    eval_loc,
    eval_voc,
    predict,
    train_cls,
    train_det,
    train_loc,
)
from resdet.engine.checkpoint import read_checkpoint, save_checkpoint
from resdet.engine.config_text import config_text
from resdet.errors import UserError
from resdet.recipes.sections import load_config
from resdet.recipes.trained import as_trained

SHORT = ["data.resizer.short=32", "data.resizer.long=50", "model.head.score_floor=0.0", "model.rpn.scales=8,24"]


@pytest.fixture(scope="module")
def trained(det_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a detector that was trained at another size, with other anchors, than its config file says."""
    folder = tmp_path_factory.mktemp("trained")
    train_det([str(det_config), "--work-dir", str(folder), *ON_CPU, "--cfg-options", "schedule.steps=2", *SHORT])
    return folder / "last.pth"


def figures_of(main: Main, folder: Path, *words: object) -> dict:
    """The figures that a command writes."""
    main([*map(str, words), *ON_CPU, "--json", str(folder / "figures.json")])
    return json.loads((folder / "figures.json").read_text())


def comp4(folder: Path, *words: object) -> list[str]:
    eval_voc([*map(str, words), *ON_CPU, "--write-detections", str(folder)])
    lines = [path.read_text() for path in sorted(folder.glob("comp4*"))]
    shutil.rmtree(folder)
    return lines


def test_a_detector_is_tested_at_the_size_and_with_the_anchors_of_its_training(
    trained: Path, det_config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = comp4(tmp_path / "out", det_config, "--checkpoint", trained, "--cfg-options", *SHORT)
    assert any(asked)
    capfd.readouterr()
    assert comp4(tmp_path / "out", det_config, "--checkpoint", trained) == asked
    said = "".join(capfd.readouterr())
    assert (
        f"{trained} is tested as it was trained, not as {det_config} says: model.rpn.scales (8, 24), and not (16, 32)"
        in said
    )
    assert "data.resizer.short 32, and not 64" in said
    assert comp4(tmp_path / "out", trained) == asked
    assert comp4(tmp_path / "out", trained, "--cfg-options", "data.resizer.short=64") != asked
    said = "".join(capfd.readouterr())
    assert "is tested as you ask, not as it was trained: data.resizer.short 64, trained with 32" in said


def test_figures_and_pictures_need_the_checkpoint_alone(
    trained: Path, det_config: Path, photos: Path, tmp_path: Path
) -> None:
    beside = figures_of(eval_coco, tmp_path, det_config, "--checkpoint", trained)
    assert figures_of(eval_coco, tmp_path, trained) == beside
    assert figures_of(eval_voc, tmp_path, "--checkpoint", trained) == figures_of(eval_voc, tmp_path, trained)
    written = []
    for words in ([trained], [det_config, trained], [trained, "--cfg-options", "model.head.max_detections=1"]):
        words = (
            [*map(str, words[:2]), str(photos), *map(str, words[2:])]
            if len(words) < 3
            else [str(trained), str(photos), *words[1:]]
        )
        out = tmp_path / f"out{len(written)}"
        predict([*words, "--threshold", "0", "--out", str(out), *ON_CPU])
        written.append(json.loads((out / "detections.json").read_text()))
    assert written[0] == written[1]
    assert written[0]["classes"] == ["apple", "pear"]
    assert [len(image["boxes"]) for image in written[2]["images"]] == [1, 1]


def test_the_python_interface_takes_the_checkpoint_alone(trained: Path, det_config: Path, photos: Path) -> None:
    alone = resdet.load_detector(trained, device="cpu", precision="fp32")
    beside = resdet.load_detector(det_config, trained, device="cpu", precision="fp32")
    asked = resdet.load_detector(trained, device="cpu", precision="fp32", options={"data.resizer.short": 64})
    assert (alone.sizes.short, beside.sizes.short, asked.sizes.short) == (32, 32, 64)
    assert alone.classes == beside.classes == ["apple", "pear"]
    found = alone(photos / "wide.png")
    assert torch.equal(found.boxes, beside(photos / "wide.png").boxes)
    assert len(found)
    assert len(resdet.load_detector(trained, trained, device="cpu").inference.detectors) == 2  # an ensemble


def test_a_classifier_is_tested_with_the_crops_and_the_net_of_its_training(cls_config: Path, tmp_path: Path) -> None:
    options = ["data.test_view.size=48", "data.test_view.short=300", "net.width=0.0625", "schedule.steps=2"]
    made = figures_of(train_cls, tmp_path, cls_config, "--work-dir", tmp_path / "run", "--cfg-options", *options)
    last = tmp_path / "run" / "last.pth"
    for words in ([last], [cls_config, "--checkpoint", last]):
        assert figures_of(eval_cls, tmp_path, *words)["center/top1_error"] == made["test/top1_error"]
    cfg = as_trained(load_config(cls_config), last)
    assert (cfg.data.test_view.size, cfg.data.test_view.short, cfg.net.width) == (48, 300, 0.0625)


def test_a_localizer_is_tested_with_the_crops_and_anchors_of_its_training(loc_config: Path, tmp_path: Path) -> None:
    options = ["data.test_view.size=48", "data.train_view.size=48", "model.settings.scales=12,24", "schedule.steps=2"]
    made = figures_of(train_loc, tmp_path, loc_config, "--work-dir", tmp_path / "run", "--cfg-options", *options)
    last = tmp_path / "run" / "last.pth"
    for words in ([last], [loc_config, "--checkpoint", last]):
        rows = figures_of(eval_loc, tmp_path, *words)
        assert made["test/localization_error"] in _numbers(rows)


def _numbers(node: object) -> list[float]:
    if isinstance(node, dict):
        return [number for value in node.values() for number in _numbers(value)]
    return [node] if isinstance(node, float | int) else []


def test_a_checkpoint_without_its_config_asks_for_one(
    trained: Path, det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = read_checkpoint(trained)
    for text in ("", "model = 1 +", "import os\n"):
        save_checkpoint(tmp_path / "bare.pth", {**state, "config": text})
        error = error_line(eval_voc, [tmp_path / "bare.pth"], capsys)
        assert "bare.pth keeps no config that can be read: give the config of its training, then this file" in error
        as_trained(load_config(det_config), tmp_path / "bare.pth")  # the given config is used as it is
    assert "no such checkpoint" in error_line(predict, [tmp_path / "none.pth", tmp_path], capsys)
    assert "which weights?" in error_line(predict, [det_config, tmp_path], capsys)
    assert "which weights?" in error_line(eval_cls, ["shapes_cls"], capsys)
    assert "give one checkpoint" in error_line(predict, [trained, trained, tmp_path], capsys)


def test_own_classes_in_a_checkpoint_need_the_config_that_imports_them(trained: Path, tmp_path: Path) -> None:
    state = read_checkpoint(trained)
    text = config_text(load_config(trained))
    own = text.replace("resdet.nets.resnet", "my_nets").replace("from my_nets", "from my_nets", 1)
    save_checkpoint(tmp_path / "own.pth", {**state, "config": own})
    with pytest.raises(UserError, match=r"names my_nets\.ResNet, which is not of resdet: give the config file too"):
        resdet.load_detector(tmp_path / "own.pth", device="cpu")
    data = text.replace("resdet.data.detection.voc", "my_data")  # a data set that predict does not need
    save_checkpoint(tmp_path / "data.pth", {**state, "config": data})
    assert resdet.load_detector(tmp_path / "data.pth", device="cpu").sizes.short == 32


def test_another_number_of_classes_is_refused(trained: Path) -> None:
    with pytest.raises(UserError, match=r"last\.pth has 2 classes, .*shapes_det\.py has 8: give the config"):
        as_trained(load_config("shapes_det"), trained)
