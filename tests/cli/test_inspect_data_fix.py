"""resdet inspect-data --fix writes a repaired copy of the annotations, and repairs nothing by a guess."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from helpers.coco import instances, write
from helpers.commands import call, error_of, inspect_data
from helpers.datasets import write_voc
from helpers.inspection import config_of, inspect, write_yolo
from resdet.data.detection.voc import VOCDataset


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


def test_folders_of_annotations_that_are_sets_are_repaired_at_their_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_voc(tmp_path / "data", {"t": {"a": [("apple", 90, 70, 130, 80)], "b": [("apple", 9, 9, 50, 60)]}})
    shutil.rmtree(folder / "ImageSets")
    for name, image in (("train", "a"), ("val", "b")):
        for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml")):
            (folder / kind / name).mkdir()
            (folder / kind / f"{image}.{suffix}").rename(folder / kind / name / f"{image}.{suffix}")
    call(inspect_data, tmp_path / "data", "--out", tmp_path / "sheets", "--fix", tmp_path / "mended")
    assert "PASCAL VOC, train, val" in capsys.readouterr().out
    copies = [path.relative_to(tmp_path / "mended").as_posix() for path in (tmp_path / "mended").rglob("*.xml")]
    assert sorted(copies) == ["VOCtiny/Annotations/train/a.xml", "VOCtiny/Annotations/val/b.xml"]
    assert "<xmax>100</xmax>" in (tmp_path / "mended/VOCtiny/Annotations/train/a.xml").read_text()


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
