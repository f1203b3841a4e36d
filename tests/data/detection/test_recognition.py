"""Data sets are recognized by the layout of their files, as their tools write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.voc import SIZE_XML, object_xml, write_image, write_voc_xml
from resdet.data.detection import open_dataset
from resdet.data.detection.recognition import recognize
from resdet.errors import UserError

CAT = SIZE_XML + object_xml("cat", (1, 1, 9, 9))
LINE = "0 .5 .5 .5 .5\n"


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def xml(path: Path) -> None:
    text(path, f"<annotation>{CAT}</annotation>")


def coco(path: Path, file_name: str) -> None:
    image = {"id": 1, "file_name": file_name, "width": 60, "height": 40}
    item = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
    content = {"images": [image], "annotations": [item], "categories": [{"id": 1, "name": "cat"}]}
    text(path, json.dumps(content))


def voc_devkit(root: Path) -> None:
    write_voc_xml(root, {"a": CAT}, image_set="train")
    write_voc_xml(root, {"b": CAT}, image_set="val")
    text(root / "VOC2007/ImageSets/Main/cat_train.txt", "a 1\n")


def voc_cvat(root: Path) -> None:
    write_image(root / "JPEGImages/sub/a.jpg")
    xml(root / "Annotations/sub/a.xml")
    text(root / "ImageSets/Main/default.txt", "sub/a\n")
    text(root / "labelmap.txt", "# label:color_rgb:parts:actions\ncat:1,2,3::\n")


def voc_label_studio(root: Path) -> None:
    write_image(root / "images/a.jpg")
    xml(root / "Annotations/a.xml")


def voc_roboflow(root: Path) -> None:
    for name in ("train", "valid", "test"):
        write_image(root / name / "a.jpg")
        xml(root / name / "a.xml")
    text(root / "README.roboflow.txt", "x")


def voc_labelimg(root: Path) -> None:
    write_image(root / "images/a.jpg")
    xml(root / "annots/a.xml")


def yolo_ultralytics(root: Path) -> None:
    for name in ("train", "val"):
        write_image(root / f"images/{name}/a.jpg")
        text(root / f"labels/{name}/a.txt", LINE)
    text(root / "data.yaml", "path: ../x\ntrain: images/train\nval: images/val\nnames:\n  '0': cat\n")


def yolo_roboflow(root: Path) -> None:
    for name in ("train", "valid"):
        write_image(root / name / "images/a_jpg.rf.0123.jpg")
        text(root / name / "labels/a_jpg.rf.0123.txt", LINE)
    text(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cat']\n")


def yolo_cvat(root: Path) -> None:
    write_image(root / "obj_train_data/a b.jpg")
    text(root / "obj_train_data/a b.txt", LINE)
    text(root / "obj.names", "cat\n")
    text(root / "obj.data", "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n")
    text(root / "train.txt", "data/obj_train_data/a b.jpg\n")


def yolo_label_studio(root: Path) -> None:
    write_image(root / "images/a.jpg")
    text(root / "labels/a.txt", LINE)
    text(root / "classes.txt", "cat\n")
    text(root / "notes.json", "{}")


def yolo_labelimg(root: Path) -> None:
    write_image(root / "a.jpg")
    text(root / "a.txt", LINE)
    text(root / "classes.txt", "cat\n")


def coco_itself(root: Path) -> None:
    for name in ("train2017", "val2017"):
        write_image(root / name / "a.jpg")
        coco(root / f"annotations/instances_{name}.json", "a.jpg")


def coco_roboflow(root: Path) -> None:
    for name in ("train", "valid"):
        write_image(root / name / "a.jpg")
        coco(root / name / "_annotations.coco.json", "a.jpg")


def coco_cvat(root: Path) -> None:
    write_image(root / "images/default/a.jpg")
    coco(root / "annotations/instances_default.json", "a.jpg")


def coco_label_studio(root: Path) -> None:
    write_image(root / "images/a.jpg")
    coco(root / "result.json", "images\\a.jpg")


@pytest.mark.parametrize(
    ("layout", "what", "sets"),
    [
        (voc_devkit, "PASCAL VOC", ["train", "val"]),
        (voc_cvat, "VOC as CVAT exports it", ["all"]),
        (voc_label_studio, "VOC as Label Studio exports it", ["all"]),
        (voc_roboflow, "VOC as Roboflow exports it", ["test", "train", "valid"]),
        (voc_labelimg, "VOC without lists, as labelImg writes it", ["all"]),
        (yolo_ultralytics, "YOLO", ["train", "val"]),
        (yolo_roboflow, "YOLO as Roboflow exports it", ["train", "valid"]),
        (yolo_cvat, "YOLO as CVAT exports it (Darknet)", ["train"]),
        (yolo_label_studio, "YOLO as Label Studio exports it", ["all"]),
        (yolo_labelimg, "YOLO with the txt files beside the images", ["all"]),
        (coco_itself, "COCO", ["train2017", "val2017"]),
        (coco_roboflow, "COCO as Roboflow exports it", ["train", "valid"]),
        (coco_cvat, "COCO as CVAT exports it", ["all"]),
        (coco_label_studio, "COCO as Label Studio exports it", ["all"]),
    ],
)
def test_exports_are_recognized_and_read(
    tmp_path: Path, layout: object, what: str, sets: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    layout(tmp_path / "unpacked" / "my export")  # type: ignore[operator]
    found = recognize(tmp_path / "unpacked")  # archives unpack to folders in folders
    assert (found.what, list(found.sets)) == (what, sets)
    for name in sets:
        with caplog.at_level("INFO", "resdet"):
            dataset = open_dataset(tmp_path / "unpacked", name)
        assert (dataset.classes, len(dataset), len(dataset[0].boxes)) == (("cat",), 1, 1)
        assert f"{what}, set {name}" in caplog.text


def test_files_stand_for_their_data_set(tmp_path: Path) -> None:
    coco_label_studio(tmp_path)
    assert len(open_dataset(tmp_path / "result.json")) == 1
    yolo_roboflow(tmp_path / "yolo")
    assert len(open_dataset(tmp_path / "yolo/data.yaml")) == 1


def test_what_is_not_recognized_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected VOC .* COCO .* YOLO"):
        open_dataset(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match="is an archive; unpack it"):
        open_dataset(tmp_path / "a.zip")
    yolo_roboflow(tmp_path)
    with pytest.raises(UserError, match=r"has no set 'vali' \(did you mean valid\?\)"):
        open_dataset(tmp_path, "vali")
