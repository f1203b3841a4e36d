"""resdet inspect-data names all problems of a dataset in one pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.commands import call, inspect_data
from helpers.configs import DETECTOR, write_classifier_config
from helpers.datasets import write_class_folders, write_voc
from resdet.data.images import read_image


def test_inspect_data_names_every_problem_in_one_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [("apple", 10, 10, 40, 50)]
    folder = write_voc(
        tmp_path / "devkit",
        {
            "trainval": {
                "fine": good,
                "noimage": good,
                "unknown": [("plum", 1, 1, 5, 5)],
                "outside": [*good, ("pear", 90, 70, 130, 80)],
                "reversed": [("pear", 50, 20, 40, 60)],
                "twice": good,
            },
            "test": {"last": good},
        },
    )
    (folder / "JPEGImages" / "noimage.jpg").unlink()
    (folder / "JPEGImages" / "fine.jpg").write_bytes(b"no picture")
    with (folder / "ImageSets/Main/trainval.txt").open("a") as file:
        file.write("twice\n")
    config = tmp_path / "broken.py"
    config.write_text(DETECTOR.format(root=str(tmp_path / "devkit")))
    with pytest.raises(SystemExit) as caught:
        inspect_data([str(config), "--out", str(tmp_path / "pictures")])
    assert caught.value.code == 2
    lines = capsys.readouterr().out.splitlines()

    def found(*words: str) -> int:
        return sum(all(w in line for w in words) for line in lines)

    assert found("train: refused", "noimage.jpg", "no such image")
    assert found("train: refused", "fine.jpg", "not an image")
    assert found("train: refused", "unknown.xml", "'plum'")
    assert found("train: repaired", "outside.xml, object 2", "90 70 130 80", "clipped")
    assert found("train: repaired", "reversed.xml, object 1", "50 20 40 60", "dropped")
    assert found("train: refused", "twice.xml", "keep one")
    assert found("4 problems to mend, 2 repaired")
    assert (tmp_path / "pictures" / "test.jpg").is_file()


def test_inspect_data_names_all_of_a_classifiers_bad_images_and_counts_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = write_class_folders(tmp_path / "folders")
    config = write_classifier_config(tmp_path / "cls.py", folders)
    inspect_data([str(config), "--out", str(tmp_path / "sound")])
    printed = capsys.readouterr().out
    assert "0 problems to mend" in printed
    assert "8 images of 2 classes; images per class 4..4, median 4" in printed
    assert (tmp_path / "sound" / "train.jpg").is_file()

    bad = [folders / "val" / "dark" / "1.png", folders / "val" / "light" / "2.png"]
    bad[0].write_bytes(bad[0].read_bytes()[:30])
    bad[1].write_text("not an image")
    (folders / "train" / "dark").rename(folders / "train" / "dusk")
    with pytest.raises(SystemExit):
        inspect_data([str(config), "--out", str(tmp_path / "bad")])
    said = capsys.readouterr()
    assert all(f"test: refused: {path}" in said.out for path in bad)
    assert "train and test: refused: data.train and data.test have different classes: 'dusk' and 'dark'" in said.out
    assert "3 problems to mend" in said.out


def test_inspect_data_describes_a_dataset_without_problems(
    det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inspect_data([str(det_config), "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "0 problems to mend, 0 repaired" in printed
    assert "images without objects 1; objects per image 1.0, at most 2" in printed
    assert "width 100..100, height 80..80, portraits 0 %" in printed
    assert all(read_image(tmp_path / f"{name}.jpg").size for name in ("train", "test"))


def test_inspect_data_describes_the_data_of_a_localizer(
    tmp_path: Path, loc_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(inspect_data, loc_config, "--out", tmp_path)
    printed = capsys.readouterr().out
    assert "train: 11 images of 2 classes" in printed
    assert re.search(r"test: 7 boxes, 0 images have none; square root of the area \d+\.\.\d+ pixels", printed)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["test.jpg", "train.jpg"]
    options = ["--cfg-options", "data.train.with_boxes=False"]
    call(inspect_data, loc_config, "--out", tmp_path, *options)
    assert "train: 11 boxes, 1 images have none" in capsys.readouterr().out
