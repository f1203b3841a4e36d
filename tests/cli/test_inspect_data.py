"""resdet inspect-data names all problems of a dataset in one pass."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.coco import instances, write
from helpers.commands import call, inspect_data
from helpers.configs import DETECTOR, write_classifier_config
from helpers.datasets import write_class_folders, write_voc
from helpers.imagenet_det import ANT, CLASSES, VAL, write_image, write_list
from helpers.inspection import config_of, inspect, write_yolo
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
    assert found("train: warning", "outside.xml, object 2", "90 70 130 80", "clipped")
    assert found("train: warning", "reversed.xml, object 1", "50 20 40 60", "dropped")
    assert found("train: refused", "twice.xml", "keep one")
    assert found("4 problems to mend, 2 warnings")
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
    assert "0 problems to mend, 1 warning;" in printed
    assert "train: warning: fewer than 5 objects to learn from: apple 1, pear 2" in printed
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


def test_voc_with_inferred_classes_is_checked_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [("apple", 10, 10, 40, 50)]
    folder = write_voc(tmp_path, {"t": {"a": good, "b": good, "c": [("apple", 50, 40, 10, 10)], "d": [*good, *good]}})
    (folder / "JPEGImages/b.jpg").write_bytes(b"x")
    values = f"root={str(tmp_path)!r}, splits=[('tiny', 't')], classes=None"
    said = inspect(config_of(tmp_path / "mine.py", "VOCDataset", "resdet.data.detection.voc", values), capsys)
    assert re.search(r"train: refused: .*b\.jpg: not an image", said)
    assert re.search(r"train: warning: .*c\.xml, object 1: box 50 40 10 10 has no area", said)
    assert re.search(r"train: warning: .*d\.xml, object 2: box 10 10 40 50 repeats the one of object 1", said)
    assert "1 problem to mend, 2 warnings" in said  # data.test is the same set, whose problems are listed once


def test_yolo_is_checked_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_yolo(tmp_path / "yolo")
    values = f"root={str(root)!r}, image_sets='t'"
    said = inspect(config_of(tmp_path / "mine.py", "YOLODataset", "resdet.data.detection.yolo", values), capsys)
    for what in (
        r"refused: .*a\.txt:3: class 9 is not one of 0\.\.1",
        r"refused: .*a\.txt:4: 'x' is not a number",
        r"warning: .*a\.txt:2: box 0 .5 .5 .1 .1 repeats the one of object 1",
        r"warning: .*a\.txt:5: box 1 .95 .5 .2 .2 extends beyond",
        r"warning: .*a\.txt:6: box 0 .5 .5 0 .1 has no area",
        r"refused: .*b\.txt:1: '0 1 2' is not 'class cx cy w h'",
        r"warning: .*c\.txt: no such txt file",
        r"refused: .*d\.jpg: not an image",
        r"warning: .*orphan\.txt: no image belongs to it",
    ):
        assert re.search(f"train: {what}", said), what


def test_imagenet_det_is_checked_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "map_det.txt").write_text(CLASSES)
    write_image(tmp_path, "val", f"{VAL}1", [(ANT, 0, 0, 60, 29), ("n000", 1, 1, 5, 5)])
    write_image(tmp_path, "val", f"{VAL}2", [(ANT, 0, 0, 60, 29), (ANT, 5, 5, 3, 3)])
    write_list(tmp_path, "val", *(f"{VAL}{i} {i}" for i in (1, 2, 3)))
    values = f"root={str(tmp_path)!r}, image_sets=['val']"
    config = config_of(tmp_path / "mine.py", "ImageNetDETDataset", "resdet.data.detection.imagenet_det", values)
    said = inspect(config, capsys)
    assert re.search(rf"refused: .*{VAL}1\.xml: class 'n000' is not one of", said)
    assert re.search(rf"warning: .*{VAL}2\.xml, object 1: box 0 0 60 29 extends", said)
    assert re.search(rf"warning: .*{VAL}2\.xml, object 2: box 5 5 3 3 has no area", said)
    assert re.search(rf"refused: .*{VAL}3\.JPEG: no such image", said)


def test_two_records_of_one_file_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = instances()
    content["images"][1]["file_name"] = "./12.png"
    write(tmp_path / "data", content)
    call(inspect_data, tmp_path / "data", "--out", tmp_path / "sheets")
    assert "image 5 is of 12.png, as image 12 is; keep one record" in capsys.readouterr().out


def test_what_the_reader_alone_refuses_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = instances()
    for item in content["annotations"]:
        item["bbox"] = [0.25, 0.25, 0.5, 0.5]
    content["annotations"][0]["bbox"] = [-0.5, 0.25, 1, 0.5]
    write(tmp_path / "data", content)
    with pytest.raises(SystemExit) as caught:
        call(inspect_data, tmp_path / "data", "--out", tmp_path / "sheets")
    assert caught.value.code == 2
    said = capsys.readouterr().out
    assert "val: warning: " in said
    assert "val: refused: " in said
    assert "they are fractions of the images" in said


def test_all_sets_of_a_folder_are_checked_and_their_classes_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    good, beyond = ("apple", 10, 10, 40, 50), ("apple", 50, 10, 130, 50)
    sets = {"train": {f"t{i}": [good] for i in range(5)}, "val": {"v": [beyond]}, "test": {"s": [("pear", 1, 1, 9, 9)]}}
    write_voc(tmp_path / "data", sets)
    call(inspect_data, tmp_path / "data", "--out", tmp_path / "sheets")
    said = capsys.readouterr().out
    assert "PASCAL VOC, train, test, val" in said
    assert re.search(r"val: warning: .*v\.xml, object 1: box 50 10 130 50 extends beyond", said)
    assert "train: warning: no object to learn from: pear (1 in test)" in said
    assert "0 problems to mend, 2 warnings" in said
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["test.jpg", "train.jpg", "val.jpg"]
    assert len(caplog.records) == len({record.getMessage() for record in caplog.records}) == 1


def test_crowds_are_counted_and_a_fault_of_a_split_set_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = instances()
    content["annotations"][3]["bbox"] = [3, 3, 5, 5]
    write(tmp_path / "data", content)
    part = f"type=SplitPart, dataset=dict(type=COCODataset, root={str(tmp_path / 'data')!r}, splits=['val']), part="
    config = tmp_path / "mine.py"
    text = DETECTOR.format(root="x").replace(
        "from resdet.data.detection.voc import VOCDataset",
        "from resdet.data.detection.coco import COCODataset\nfrom resdet.data.detection.splitting import SplitPart",
    )
    for name in ("train", "test"):
        text = re.sub(rf" {name}=dict\(.*\),\n", f" {name}=dict({part}{name!r}, fraction=0.5),\n", text)
    config.write_text(text)
    call(inspect_data, config, "--out", tmp_path / "sheets")
    said = capsys.readouterr().out
    assert said.count("extends beyond the image") == 1
    assert "train and test: warning: " in said
    columns = next(line.split() for line in said.splitlines() if line.lstrip().startswith("class"))
    assert columns[-2:] == ["difficult", "crowd"]
    assert sum(line.split()[-1] == "1" for line in said.splitlines() if line.lstrip().startswith("car ")) == 1


def test_a_file_of_coco_is_inspected_without_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command that new-config names takes what new-config took."""
    root = write(tmp_path / "data", instances())
    call(inspect_data, root / "annotations/instances_val.json", "--out", tmp_path / "sheets")
    assert "a file of COCO instances, all" in capsys.readouterr().out


def test_ids_with_one_number_in_two_spellings_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = instances()
    content["images"][1]["id"] = content["annotations"][0]["image_id"] = "012"
    root = write(tmp_path / "data", content)
    call(inspect_data, root / "annotations/instances_val.json", "--out", tmp_path / "sheets")
    said = capsys.readouterr().out
    assert "warning" in said
    assert "images have the ids 12 and '012', which are two" in said
    assert "not listed" not in said


def test_an_xml_of_another_format_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "a.xml").write_text('<annotations><version>1.1</version><image name="a.jpg"/></annotations>')
    with pytest.raises(SystemExit):
        inspect_data([str(tmp_path), "--out", str(tmp_path / "pictures")])
    printed = capsys.readouterr().out
    assert printed.count("is of CVAT's own format") == 1
    assert "1 problem to mend, 0 warnings" in printed
