"""resdet inspect-data names all problems of a dataset in one pass."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from helpers.coco import instances, write
from helpers.commands import call, error_of, inspect_data
from helpers.configs import DETECTOR, write_classifier_config
from helpers.datasets import write_class_folders, write_voc
from helpers.imagenet_det import ANT, CLASSES, VAL, write_image, write_list
from resdet.data.detection.voc import VOCDataset
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


def inspect(config: Path, capsys: pytest.CaptureFixture[str], *more: object) -> str:
    """What inspect-data prints about a config with something to mend."""
    with pytest.raises(SystemExit) as caught:
        inspect_data([str(config), *map(str, more)])
    assert caught.value.code == 2
    return capsys.readouterr().out


def config_of(path: Path, kind: str, module: str, train: str) -> Path:
    """A detector's config with this data set for training and testing."""
    text = DETECTOR.format(root="x").replace("resdet.data.detection.voc import VOCDataset", f"{module} import {kind}")
    lines = [
        f"    {name}=dict(type={kind}, {train}),\n" if line.strip().startswith(f"{name}=dict") else f"{line}\n"
        for line in text.splitlines()
        for name in ("test" if line.strip().startswith("test=") else "train",)
    ]
    path.write_text("".join(lines))
    return path


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


def write_yolo(root: Path) -> Path:
    """A set with a defect of every kind: in lines, files and images."""
    source = write_voc(root / "photos", {"t": {name: [] for name in "abcd"}}) / "JPEGImages"
    for folder in ("images/t", "labels/t"):
        (root / folder).mkdir(parents=True)
    for name in "abcd":
        (source / f"{name}.jpg").rename(root / f"images/t/{name}.jpg")
    (root / "images/t/d.jpg").write_bytes(b"x")
    lines = "0 .5 .5 .1 .1\n0 .5 .5 .1 .1\n9 1 1 1 1\nx\n1 .95 .5 .2 .2\n0 .5 .5 0 .1\n"
    for name, text in {"a": lines, "b": "0 1 2\n", "d": "0 .5 .5 .1 .1", "orphan": "0 .5 .5 .1 .1"}.items():
        (root / f"labels/t/{name}.txt").write_text(text)
    (root / "classes.txt").write_text("apple\npear\n")
    return root


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


def test_a_repaired_copy_of_voc_is_read_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    good = [("apple", 10, 10, 40, 50)]
    sets = {"a": [*good, *good, ("pear", 90, 70, 130, 80), ("pear", 9, 9, 5, 5)], "b": good, "gone": good, "bad": good}
    folder = write_voc(tmp_path / "data", {"t": sets})
    (folder / "JPEGImages/gone.jpg").unlink()
    (folder / "JPEGImages/bad.jpg").write_bytes(b"x")
    (folder / "Annotations/b.xml").write_text(
        "<annotation><pose>Left</pose><object><name>apple</name></object><object><name>apple</name><bndbox><xmin>1</xmin>"
        "<ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    values = f"root={str(tmp_path / 'data')!r}, splits=[('tiny', 't')], classes=CLASSES"
    config = config_of(tmp_path / "mine.py", "VOCDataset", "resdet.data.detection.voc", values)
    said = inspect(config, capsys, "--fix", tmp_path / "mended")
    assert "7 changes in the copy in" in said
    changes = (tmp_path / "mended/changes.txt").read_text()
    for what in (
        "a.xml, object 2: removed, it repeats",
        "a.xml, object 3: the box was clipped",
        "object 4: removed, it has",
    ):
        assert what in changes
    for what in (
        "b.xml, object 1: removed, because neither a <bndbox> nor a <polygon>",
        "size, 100x80, was added",
        "gone was left out",
        "bad was",
    ):
        assert what in changes
    assert "<pose>Left</pose>" in (tmp_path / "mended/VOCtiny/Annotations/b.xml").read_text()
    shutil.copytree(tmp_path / "mended", tmp_path / "data", dirs_exist_ok=True)
    with caplog.at_level("WARNING", "resdet"):
        dataset = VOCDataset(tmp_path / "data", [("tiny", "t")], ["apple", "pear"])
    assert not caplog.records
    assert dataset.table.ids.tolist() == ["a", "b"]
    assert dataset.table.boxes.tolist() == [[9, 9, 40, 50], [89, 69, 100, 80], [0, 0, 9, 9]]


def test_a_repaired_copy_of_yolo_keeps_the_sound_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_yolo(tmp_path / "yolo")
    config = config_of(
        tmp_path / "mine.py", "YOLODataset", "resdet.data.detection.yolo", f"root={str(root)!r}, image_sets='t'"
    )
    inspect(config, capsys, "--fix", tmp_path / "mended")
    mended = tmp_path / "mended/labels/t"
    assert (mended / "a.txt").read_text() == "0 .5 .5 .1 .1\n9 1 1 1 1\n1 0.925000 0.500000 0.150000 0.200000\n"
    assert (mended / "b.txt").read_text() == ""
    assert (tmp_path / "mended/classes.txt").read_text() == "apple\npear\n"


def test_a_repaired_copy_of_coco_has_plain_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_voc(tmp_path, {"t": {"a": [], "b": []}})
    (folder / "JPEGImages/b.jpg").unlink()
    boxes = [["10", "10", "20", "20"], [90, 70, 40, 30], [5, 5, 0, 9], "none"]
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg", "width": 100, "height": 80}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "area": None, "iscrowd": "0", "note": i}
            for i, box in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "apple"}, {"id": 2, "name": "pear"}],
        "info": {"year": 2024},
    }
    (folder / "labels.json").write_text(json.dumps(content))
    values = f"root={str(folder)!r}, splits=[('JPEGImages', 'labels.json')]"
    config = config_of(tmp_path / "mine.py", "COCODataset", "resdet.data.detection.coco", values)
    inspect(config, capsys, "--fix", tmp_path / "mended")
    mended = json.loads((tmp_path / "mended/labels.json").read_text())
    assert mended["images"] == [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}]
    assert [item["bbox"] for item in mended["annotations"]] == [[10, 10, 20, 20], [90, 70, 10, 10]]
    assert [(item["iscrowd"], item["note"]) for item in mended["annotations"]] == [(0, 0), (0, 1)]
    assert mended["info"] == {"year": 2024}


def test_the_repair_leaves_to_the_user_what_needs_a_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_yolo(tmp_path / "yolo")
    lines = "0 .5 .5 .1 .1\n5 .5 .5 .2 .2\n0 50 40 20 16\n"
    (root / "labels/t/a.txt").write_text(lines)
    (root / "labels/t/b.txt").write_text("")
    values = f"root={str(root)!r}, image_sets='t', classes=('apple', 'pear')"
    config = config_of(tmp_path / "yolo.py", "YOLODataset", "resdet.data.detection.yolo", values)
    assert "2 faults left for you to decide" in inspect(config, capsys, "--fix", tmp_path / "y")
    assert (tmp_path / "y/labels/t/a.txt").read_text() == lines

    folder = write_voc(tmp_path, {"t": {"a": [("apple", 500, 400, 700, 600)]}})
    xml = folder / "Annotations/a.xml"
    size = "<size><width>1000</width><height>800</height></size>"
    xml.write_text(re.sub(r"(<size>.*</size>)?<object>", f"{size}<object>", xml.read_text(), flags=re.S))
    values = f"root={str(tmp_path)!r}, splits=[('tiny', 't')], classes=CLASSES"
    config = config_of(tmp_path / "voc.py", "VOCDataset", "resdet.data.detection.voc", values)
    assert "1 fault left for you to decide" in inspect(config, capsys, "--fix", tmp_path / "v")
    assert "<xmin>500" in (tmp_path / "v/VOCtiny/Annotations/a.xml").read_text()

    objects = [{"id": 1, "image_id": 1, "category_id": 9, "bbox": [1, 1, 9, 9]}]
    image = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}
    content = {"images": [image], "annotations": objects, "categories": [{"id": 1, "name": "apple"}]}
    content["info"] = {"description": "half an emoji \ud83d"}
    (folder / "labels.json").write_text(json.dumps(content))
    values = f"root={str(folder)!r}, splits=[('JPEGImages', 'labels.json')]"
    config = config_of(tmp_path / "coco.py", "COCODataset", "resdet.data.detection.coco", values)
    assert "1 fault left for you to decide" in inspect(config, capsys, "--fix", tmp_path / "c")
    assert json.loads((tmp_path / "c/labels.json").read_text()) == content


def test_the_repaired_copy_takes_no_folder_that_holds_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_yolo(tmp_path / "yolo")
    config = config_of(
        tmp_path / "mine.py", "YOLODataset", "resdet.data.detection.yolo", f"root={str(root)!r}, image_sets='t'"
    )
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/classes.txt").write_text("mine")
    message = error_of(inspect_data, [config, "--out", tmp_path / "sheets", "--fix", tmp_path / "photos"], capsys)
    assert "is there already and no copy of --fix" in message
    assert (tmp_path / "photos/classes.txt").read_text() == "mine"


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


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("classes.txt", "classes.txt is a file; give the name of a folder"),
        ("classes.txt/mended", "mended would be in .*classes.txt, which is a file"),
        ("", "is the data set's own folder"),
        ("images", "is there already and no copy of --fix"),
    ],
)
def test_a_folder_that_takes_no_copy_is_refused_before_the_data_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, message: str
) -> None:
    root = write_yolo(tmp_path / "yolo")
    with pytest.raises(SystemExit) as caught:
        call(inspect_data, root, "--out", tmp_path / "sheets", "--fix", root / out)
    said = capsys.readouterr()
    assert caught.value.code == 2
    assert re.search(message, said.err)
    assert said.err.count("\n") == 1
    assert "warning" not in said.out
    assert not (tmp_path / "sheets").exists()


def test_ids_with_one_number_in_two_spellings_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = instances()
    content["images"][1]["id"] = content["annotations"][0]["image_id"] = "012"
    root = write(tmp_path / "data", content)
    call(inspect_data, root / "annotations/instances_val.json", "--out", tmp_path / "sheets")
    said = capsys.readouterr().out
    assert "warning" in said
    assert "images have the ids 12 and '012', which are two" in said
    assert "not listed" not in said


def test_the_repair_removes_no_line_whose_numbers_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_yolo(tmp_path / "yolo")
    lines = {"a": "0 .5 .5 .1 .1 .87\n", "b": "0, .5, .5, .1, .1\n"}
    for name, line in lines.items():
        (root / f"labels/t/{name}.txt").write_text(line)
    with pytest.raises(SystemExit):
        call(inspect_data, root, "--out", tmp_path / "sheets", "--fix", tmp_path / "mended")
    assert "2 faults left for you to decide" in capsys.readouterr().out
    for name, line in lines.items():
        assert (tmp_path / f"mended/labels/t/{name}.txt").read_text() == line


def fixed_coco(root: Path, content: dict, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict]:
    """What is said of a repair, with its list of changes, and the repaired content."""
    write(root / "data", content)
    out = root / "mended"
    with pytest.raises(SystemExit):
        call(inspect_data, root / "data", "--out", root / "sheets", "--fix", out)
    said = capsys.readouterr().out + (out / "changes.txt").read_text()
    return said, json.loads((out / "annotations/instances_val.json").read_text())


@pytest.mark.parametrize("second", [12, "12"])
@pytest.mark.parametrize("missing", ["", "12.png", "5.png"])
def test_the_repair_moves_no_object_to_another_image_of_the_same_id(
    second: object, missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = instances()
    content["images"][1]["id"] = content["annotations"][0]["image_id"] = second
    if missing:
        content["images"][[12, 5].index(int(missing[:-4]))]["file_name"] = "gone.png"
    said, mended = fixed_coco(tmp_path, content, capsys)
    assert "0 changes" in said
    assert "1 fault left for you to decide" in said
    assert f"image {second!r}: NOT repaired, because its id is that of another image's" in said
    assert mended == content


def test_the_repair_removes_a_second_record_of_the_same_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = instances()
    content["images"].append({**content["images"][0], "file_name": "./12.png"})
    said, mended = fixed_coco(tmp_path, content, capsys)
    assert "image 12: removed, it repeats another of the same file" in said
    assert mended["images"] == content["images"][:3]


def test_objects_of_a_removed_image_go_to_none_whose_id_is_similar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = instances()
    content["images"][0]["width"] = "wide"
    content["images"][1]["id"] = content["annotations"][0]["image_id"] = "012"
    _, mended = fixed_coco(tmp_path, content, capsys)
    assert [item["id"] for item in mended["images"]] == ["012", 90]
    assert [item["id"] for item in mended["annotations"]] == [1]


def test_the_repair_leaves_repeated_and_nameless_categories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = instances()
    content["categories"] = [{"id": 7, "name": "bus"}, {"id": "7", "name": "car"}, {"id": 3}]
    content["annotations"] = [
        {"id": i, "image_id": 5, "category_id": category, "bbox": [1.0, 2.0, 50.0, 9.0], "area": 450.0, "iscrowd": 0}
        for i, category in enumerate([7, "7"], 1)
    ]
    said, mended = fixed_coco(tmp_path, content, capsys)
    assert "0 changes" in said
    assert "2 faults left for you to decide" in said
    assert "category 7: NOT repaired" in said
    assert "category 3: NOT repaired, because it has no 'name'" in said
    assert mended == content


def test_the_repair_empties_no_file_that_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_yolo(tmp_path / "yolo")
    (root / "labels/t/b.txt").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(SystemExit):
        call(inspect_data, root, "--out", tmp_path / "sheets", "--fix", tmp_path / "mended")
    assert re.search(r"b\.txt: NOT repaired, because .*Git LFS", (tmp_path / "mended/changes.txt").read_text())
    assert not (tmp_path / "mended/labels/t/b.txt").exists()
