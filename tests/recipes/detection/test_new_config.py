"""new-config: what it chooses for a data set and a trunk, and that its config trains as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import call, error_line, inspect_data, train_det
from helpers.commands import new_config as new_config_command
from helpers.datasets import write_voc
from resdet.errors import UserError
from resdet.recipes.detection.new_config import Trunk, anchor_ratios, anchor_scales, new_config, trunk_of
from resdet.recipes.sections import load_config

SMALL = [
    "model.net.width=0.125", "model.rpn.hidden=8", "data.resizer.short=48", "data.resizer.long=64", "data.workers=0",
    "schedule.steps=2", "schedule.milestones=(1,)", "schedule.warmup=0", "loop.validate_every=0", "loop.best=",
]  # fmt: skip


def write_photos(root: Path) -> Path:
    """VOC without a list: 10 photos, the second class in two of them."""
    images = {
        f"photo {i}": [("apple", 5, 5, 70, 60), *([("pear", 20, 20, 60, 70)] if i > 7 else [])] for i in range(10)
    }
    folder = write_voc(root, {"t": images})
    for path in (folder / "ImageSets/Main").iterdir():
        path.unlink()
    (folder / "JPEGImages").rename(root / "images")
    (folder / "Annotations").rename(root / "annotations")
    return root


def test_the_config_of_an_export_is_inspected_and_trained_without_an_edit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, config = write_photos(tmp_path / "data"), tmp_path / "configs/mine.py"
    call(new_config_command, data, "--out", config, "--crop", 112)
    said = capsys.readouterr().out
    assert "VOC without lists, as labelImg writes it, one set, split 80 : 20; 8 training images" in said
    assert "7 bins: a sixteenth of the trunk's 112-pixel crops (you said so); 14 for 224, 7 for 112" in said
    cfg = load_config(config)
    assert (cfg.model.num_classes, cfg.model.head.bins, cfg.data.train.part) == (2, 7, "train")
    call(inspect_data, config, "--out", tmp_path / "sheets")
    call(train_det, config, "--work-dir", tmp_path / "run", "--device", "cpu", "--cfg-options", *SMALL)
    assert (tmp_path / "run/last.pth").is_file()
    assert "is there already" in error_line(new_config_command, [data, "--out", config], capsys)
    assert "ends in .py" in error_line(new_config_command, [data, "--out", tmp_path / "x.txt"], capsys)


def test_divided_sets_become_train_and_test_and_a_class_may_be_in_one(tmp_path: Path) -> None:
    sets = {"train": {"a": [("apple", 5, 5, 50, 60)]}, "val": {"b": [("pear", 5, 5, 50, 60)]}}
    write_voc(tmp_path, sets)
    text = new_config(tmp_path, "mine.py", Trunk()).text
    assert "CLASSES = ('apple', 'pear')" in text
    assert "splits=[('tiny', 'train')], classes=CLASSES" in text
    assert "splits=[('tiny', 'val')], classes=CLASSES" in text


def test_a_set_without_objects_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    content = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(UserError):
        new_config(tmp_path, "mine.py", Trunk())


@pytest.mark.parametrize(
    ("weights", "depth", "crop", "expected"),
    [
        (None, None, None, (18, 14, "1x1")),
        (None, 50, 112, (50, 7, "1x1")),
        ("ResNet50_Weights.IMAGENET1K_V1", None, None, (50, 14, "3x3")),
        ("ResNet18_Weights.IMAGENET1K_V1", None, None, (18, 14, "1x1")),
        ("msra://R-101", None, None, (101, 14, "1x1")),
    ],
)
def test_bins_are_a_sixteenth_of_the_trunks_crops(
    weights: str | None, depth: int | None, crop: int | None, expected: tuple[int, int, str]
) -> None:
    trunk = trunk_of(weights, depth, crop)
    assert (trunk.depth, trunk.bins, trunk.stride_on) == expected


def test_anchors_cover_the_sizes_of_the_objects() -> None:
    assert anchor_scales(np.geomspace(30, 260, 100)) == (32, 64, 128, 256)
    assert anchor_scales(np.full(10, 100.0)) == (128, 256)
    assert anchor_scales(np.array([1.0, 5000.0] * 50)) == (16, 32, 64, 128, 256, 512)
    assert anchor_ratios(np.full(10, 1.0)) == (0.5, 1, 2)
    assert anchor_ratios(np.array([0.2] * 5 + [4.0] * 5)) == (0.33, 0.5, 1, 2, 3)
