"""Data sets are recognized by the layout of their files, as their tools write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.voc import SIZE_XML, object_xml, write_image, write_voc_xml
from resdet.data.detection import open_dataset
from resdet.data.detection.recognition import recognize
from resdet.data.detection.recognized import choose_sets
from resdet.errors import UserError

CAT = SIZE_XML + object_xml("cat", (1, 1, 9, 9))
LINE = "0 .5 .5 .5 .5\n"


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def xml(path: Path) -> None:
    text(path, f"<annotation>{CAT}</annotation>")


def labelled(root: Path, image: str, label: str) -> None:
    """An image and its label, VOC's xml or YOLO's txt: a cat."""
    write_image(root / image)
    if label.endswith(".xml"):
        xml(root / label)
    else:
        text(root / label, LINE)


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
    labelled(root, "JPEGImages/sub/a.jpg", "Annotations/sub/a.xml")
    text(root / "ImageSets/Main/default.txt", "sub/a\n")
    text(root / "labelmap.txt", "# label:color_rgb:parts:actions\ncat:1,2,3::\n")


def voc_label_studio(root: Path) -> None:
    labelled(root, "images/a.jpg", "Annotations/a.xml")


def voc_roboflow(root: Path) -> None:
    for name in ("train", "valid", "test"):
        labelled(root / name, "a.jpg", "a.xml")
    text(root / "README.roboflow.txt", "x")


def voc_labelimg(root: Path) -> None:
    labelled(root, "images/a.jpg", "annots/a.xml")


def yolo_ultralytics(root: Path) -> None:
    for name in ("train", "val"):
        labelled(root, f"images/{name}/a.jpg", f"labels/{name}/a.txt")
    text(root / "data.yaml", "path: ../x\ntrain: images/train\nval: images/val\nnames:\n  '0': cat\n")


def yolo_roboflow(root: Path) -> None:
    for name in ("train", "valid"):
        labelled(root / name, "images/a_jpg.rf.0123.jpg", "labels/a_jpg.rf.0123.txt")
    text(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cat']\n")


def yolo_cvat(root: Path) -> None:
    labelled(root, "obj_train_data/a b.jpg", "obj_train_data/a b.txt")
    text(root / "obj.names", "cat\n")
    text(root / "obj.data", "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n")
    text(root / "train.txt", "data/obj_train_data/a b.jpg\n")


def yolo_label_studio(root: Path) -> None:
    labelled(root, "images/a.jpg", "labels/a.txt")
    text(root / "classes.txt", "cat\n")
    text(root / "notes.json", "{}")


def yolo_labelimg(root: Path) -> None:
    labelled(root, "a.jpg", "a.txt")
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


def voc_vott(root: Path) -> None:
    for name in "ab":
        labelled(root, f"x-PascalVOC-export/JPEGImages/{name}.jpg", f"x-PascalVOC-export/Annotations/{name}.xml")
    text(root / "x-PascalVOC-export/ImageSets/Main/cat_train.txt", "a.jpg 1\n")
    text(root / "x-PascalVOC-export/ImageSets/Main/cat_val.txt", "b.jpg 1\n")


def voc_in_folders_of_sets(root: Path) -> None:
    for name in ("train", "val"):
        labelled(root / name, "images/a.jpg", "annotations/a.xml")


def voc_with_sets_below(root: Path) -> None:
    for name in ("train", "test"):
        labelled(root, f"images/{name}/{name}.jpg", f"annotations/{name}/{name}.xml")


def coco_2017(root: Path) -> None:
    coco_itself(root)
    for name in ("train2017", "val2017"):
        coco(root / f"annotations/person_keypoints_{name}.json", "a.jpg")


def coco_label_studio_elsewhere(root: Path) -> None:
    write_image(root / "images/a.jpg")
    coco(root / "result.json", "/label-studio/data/media/upload/1/a.jpg")


def coco_label_studio_from_its_server(root: Path) -> None:
    write_image(root / "images/a.jpg")
    coco(root / "result.json", "..\\..\\label-studio\\label-studio\\media\\upload\\4\\a.jpg")


def coco_label_studio_with_its_project(root: Path) -> None:
    write_image(root / "images/a.jpg")
    coco(root / "result.json", "images\\1/a.jpg")


def coco_in_folders_of_sets(root: Path) -> None:
    for name in ("train", "val"):
        write_image(root / name / "images/a.jpg")
        coco(root / name / "labels.json", "a.jpg")


def coco_in_voc_s_folder(root: Path) -> None:
    for name in ("train", "val"):
        write_image(root / name / "a.jpg")
        coco(root / f"Annotations/{name}_annotations.json", "a.jpg")


def coco_lvis(root: Path) -> None:
    """LVIS names images by their addresses alone."""
    write_image(root / "train2017/a.jpg")
    coco(root / "lvis_v1_train.json", "a.jpg")
    content = json.loads((root / "lvis_v1_train.json").read_text())
    address = "http://images.cocodataset.org/train2017/" + content["images"][0].pop("file_name")
    content["images"][0]["coco_url"] = address
    text(root / "lvis_v1_train.json", json.dumps(content))


def yolo_labelimg_in_folders(root: Path) -> None:
    labelled(root, "images/a.jpg", "labels/a.txt")
    text(root / "labels/classes.txt", "cat\n")


def yolo_with_another_settings_file(root: Path) -> None:
    labelled(root, "images/train/a.jpg", "labels/train/a.txt")
    text(root / "pets.yaml", "train: images/train\nnames: [cat]\n")


def yolo_from_windows(root: Path) -> None:
    for name in ("train", "val"):
        labelled(root, f"Images/{name}/a.jpg", f"Labels/{name}/a.txt")
    text(root / "Labels/classes.txt", "cat\n")


def yolo_with_a_set_called_images(root: Path) -> None:
    labelled(root, "images/images/a.jpg", "labels/images/a.txt")
    text(root / "classes.txt", "cat\n")


def yolo_roboflow_from_windows(root: Path) -> None:
    for name in ("train", "images"):
        labelled(root, f"{name}/Images/a.jpg", f"{name}/Labels/a.txt")
    text(root / "data.yaml", "names: [cat]\n")


def coco_from_windows(root: Path) -> None:
    write_image(root / "Images/train/a.jpg")
    coco(root / "annotations/train.json", "a.jpg")


def voc_from_windows(root: Path) -> None:
    labelled(root, "IMAGES/a.jpg", "ANNOTATIONS/a.xml")


def yolo_with_lists_of_its_settings(root: Path) -> None:
    for name in "ab":
        labelled(root, f"images/{name}.jpg", f"labels/{name}.txt")
    text(root / "first.txt", "./images/a.jpg\n")
    text(root / "second.txt", "/home/somebody/data/images/b.jpg\n")
    text(root / "data.yaml", "path: ../data\ntrain: first.txt\nval: second.txt\nnames: {0: cat}\n")


def yolo_with_lists_beside_undivided_images(root: Path) -> None:
    yolo_with_lists_of_its_settings(root)
    (root / "first.txt").rename(root / "train.txt")
    (root / "second.txt").rename(root / "val.txt")
    text(root / "data.yaml", "names: [cat]\n")


def yolo_with_lists_of_older_images(root: Path) -> None:
    yolo_label_studio(root)
    text(root / "train.txt", "images/gone.jpg\n")


def yolo_darknet(root: Path) -> None:
    labelled(root, "a.jpg", "a.txt")
    text(root / "coco.names", "cat\n")
    text(root / "coco.data", "classes=1\ntrain=train.txt\nnames=coco.names\n")
    text(root / "train.txt", "a.jpg\n")


def yolo_below_its_settings(root: Path) -> None:
    for name in ("train", "val"):
        labelled(root, f"data/images/{name}/a.jpg", f"data/labels/{name}/a.txt")
    text(root / "data.yaml", "train: data/images/train\nval: data/images/val\nnames: [cat]\n")


def yolo_fiftyone(root: Path) -> None:
    labelled(root, "data/a.jpg", "data/a.txt")
    text(root / "obj.names", "cat\n")
    text(root / "images.txt", "data/a.jpg\n")


def yolo_roboflow_darknet(root: Path) -> None:
    for name in ("train", "valid"):
        labelled(root, f"{name}/a.jpg", f"{name}/a.txt")
        text(root / name / "_darknet.labels", "cat\n")


def yolo_beside_in_folders_of_sets(root: Path) -> None:
    for name in ("train", "val"):
        labelled(root, f"{name}/a.jpg", f"{name}/a.txt")
    text(root / "classes.txt", "cat\n")


def voc_fiftyone(root: Path) -> None:
    labelled(root, "data/a.jpg", "labels/a.xml")


@pytest.mark.parametrize(
    ("build", "sets"),
    [
        (yolo_below_its_settings, ["train", "val"]),
        (yolo_fiftyone, ["images"]),
        (yolo_roboflow_darknet, ["train", "valid"]),
        (yolo_beside_in_folders_of_sets, ["train", "val"]),
        (voc_fiftyone, ["all"]),
        (yolo_with_lists_of_its_settings, ["train", "val"]),
        (yolo_with_lists_beside_undivided_images, ["train", "val"]),
        (yolo_with_lists_of_older_images, ["all"]),
        (yolo_darknet, ["train"]),
        (yolo_from_windows, ["train", "val"]),
        (yolo_with_a_set_called_images, ["images"]),
        (yolo_roboflow_from_windows, ["images", "train"]),
        (coco_from_windows, ["train"]),
        (voc_from_windows, ["all"]),
        (voc_vott, ["all"]),
        (voc_in_folders_of_sets, ["train", "val"]),
        (voc_with_sets_below, ["test", "train"]),
        (coco_in_folders_of_sets, ["train", "val"]),
        (coco_in_voc_s_folder, ["train_annotations", "val_annotations"]),
        (coco_lvis, ["lvis_v1_train"]),
        (coco_label_studio_from_its_server, ["all"]),
        (coco_label_studio_with_its_project, ["all"]),
        (coco_2017, ["train2017", "val2017"]),
        (coco_label_studio_elsewhere, ["all"]),
        (yolo_labelimg_in_folders, ["all"]),
        (yolo_with_another_settings_file, ["train"]),
    ],
)
def test_further_layouts(tmp_path: Path, build: Callable[[Path], None], sets: list[str]) -> None:
    build(tmp_path)
    assert list(recognize(tmp_path).sets) == sets
    assert open_dataset(tmp_path).classes == ("cat",)


@pytest.mark.parametrize(
    ("settings", "train", "test"),
    [
        ("train: images/val\nval: images/train\n", "val", "train"),  # what the file says, whatever folders are called
        ("train: ../a/images\nval: ../b/images\n", "a", "b"),
        ("train: [images/train, images/a]\nval: images/val\n", ["train", "a"], "val"),
        ("train: ../train/images\nval: ../valid/images\n", "train", "val"),
        ("train: images/train\nval: images/train\n", "train", "val"),  # would be tested on what it was trained on
        ("train: 7\nval: [1, 2]\n", "train", "val"),
    ],
)
def test_data_yaml_says_what_is_trained_on(tmp_path: Path, settings: str, train: object, test: object) -> None:
    for name in ("train", "val", "a", "b"):
        labelled(tmp_path, f"images/{name}/{name}.jpg", f"labels/{name}/{name}.txt")
    text(tmp_path / "data.yaml", f"{settings}names: [cat]\n")
    chosen = choose_sets(recognize(tmp_path))
    assert [source and source.values["image_sets"] for source in chosen] == [train, test]


def test_coco_is_recognized_in_utf_16(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.jpg")
    coco(tmp_path / "labels.json", "a.jpg")
    content = (tmp_path / "labels.json").read_text()
    (tmp_path / "labels.json").write_text(content, encoding="utf-16")
    assert open_dataset(tmp_path).classes == ("cat",)


def test_sets_are_named_with_years(tmp_path: Path) -> None:
    coco_2017(tmp_path)
    found = recognize(tmp_path)
    assert (found.named("train"), found.named("val"), found.named("test")) == ("train2017", "val2017", None)


def test_a_set_without_images_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(tmp_path / "train/a.jpg")
    coco(tmp_path / "train/_annotations.coco.json", "a.jpg")
    text(tmp_path / "valid/_annotations.coco.json", '{"images": [], "annotations": [], "categories": []}')
    assert list(recognize(tmp_path).sets) == ["train"]
    assert "_annotations.coco.json: lists no image; this set is left out" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.json", '{"images": [{"id": 1', r"labels\.json is not valid JSON \(.*line 1"),
        ("labels.json", '{"images": [], "annotations": [], "categories": [', r"labels\.json: not valid JSON"),
        ("labels.json", '{"images": [], "annotations": []}', "has images and annotations but no categories"),
        ("a.json", '{"shapes": [], "imagePath": "a.jpg"}', r"a\.json is of LabelMe, which is not read; convert it"),
        ("a.json", '{"a.jpg7": {"filename": "a.jpg", "regions": []}}', r"a\.json is of VIA, which is not read"),
        (
            "a.json",
            '{"_via_img_metadata": {"x": {"filename": "a.jpg", "regions": []}}}',
            r"is of VIA, which is not read",
        ),
        ("a.json", '[{"image": "a.jpg", "annotations": []}]', r"a\.json is of CreateML, which is not read"),
        ("a.json", '[{"data": {"image": "a.jpg"}, "annotations": []}]', r"is of Label Studio, which is not read"),
        ("a.json", '[{"file_name": "a.jpg", "annotations": []}]', r"a\.json is of detectron2, which is not read"),
        ("meta.json", '{"classes": [{"title": "cat"}], "tags": []}', r"is of Supervisely, which is not read"),
        ("annotations/a.json", '{"categories": {}, "items": []}', r"a\.json is of Datumaro, which is not read"),
        (
            "labels.json",
            '{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}',
            r"labels\.json: its images have no 'file_name'; write it",
        ),
        ("data/train.parquet", "PAR1", r"train\.parquet is of a format that is not read"),
        ("train/metadata.jsonl", "{}", r"metadata\.jsonl is of a format that is not read"),
        ("train_labels.csv", "filename,width\n", r"train_labels\.csv is of a format that is not read"),
        ("train/_annotations.csv", "filename,width\n", r"_annotations\.csv is of a format that is not read"),
        ("train/_a.createml.json", '[{"image": "a.jpg", "annotations": []}]', r"is of CreateML, which is not read"),
        ("labels/a.txt", LINE, r"no class is named; write a name per line into .*classes\.txt"),
        ("train/labels/a.txt", LINE, r"train/labels has txt files of YOLO, but no class is named"),
        ("images/a.txt", LINE, r"images has txt files of YOLO, but no class is named"),
        ("all.zip", "x", r"unpack all\.zip"),
        ("a.csv", "x", r"a\.csv is of a format that is not read"),
        ("notes.txt", "x", "no data set is recognized: expected VOC"),
    ],
)
def test_what_lies_there_instead_is_told(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_image(tmp_path / "images/a.jpg")
    text(tmp_path / name, content)
    with pytest.raises(UserError, match=message) as caught:
        recognize(tmp_path)
    assert "\n" not in str(caught.value)


def test_classes_of_yolo_without_labels_where_they_are_looked_for_are_told(tmp_path: Path) -> None:
    labelled(tmp_path, "train_images/a.jpg", "train_labels/a.txt")
    text(tmp_path / "data.yaml", "names: [cat]")
    message = (
        r"data\.yaml names classes of YOLO, but no images with txt files are found; expected images/\*\.jpg and labels"
    )
    with pytest.raises(UserError, match=message):
        recognize(tmp_path)


def test_files_that_macos_leaves_hide_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    for name in ("._a.json", "a.json"):
        text(tmp_path / name, "\0\5" if name[0] == "." else '{"shapes": [], "imagePath": "a.jpg"}')
    with pytest.raises(UserError, match=r"recognized: a\.json is of LabelMe, which is not read"):
        recognize(tmp_path)
    coco(tmp_path / "labels.JSON", "a.jpg")
    text(tmp_path / "._labels.JSON", "\0\5")
    assert list(recognize(tmp_path).sets) == ["labels"]


def test_annotations_without_their_images_are_told(tmp_path: Path) -> None:
    coco(tmp_path / "annotations/instances_default.json", "a.jpg")
    with pytest.raises(UserError, match=r"its images \(first: 'a\.jpg'\) are not found nearby; put them into .*images"):
        recognize(tmp_path)
    with pytest.raises(UserError, match="are not found nearby"):
        recognize(tmp_path / "annotations/instances_default.json")


@pytest.mark.parametrize("folders", [("", ""), ("images", "annotations"), ("images", "labels")])
def test_xml_beside_a_left_over_list_of_yolo_classes_is_voc(tmp_path: Path, folders: tuple[str, str]) -> None:
    """labelImg's classes.txt and the txt of an image stay when its user goes over to VOC."""
    images, annotations = folders
    for name in "abc":
        write_image(tmp_path / images / f"{name}.jpg")
        xml(tmp_path / annotations / f"{name}.xml")
    text(tmp_path / annotations / "a.txt", LINE)
    text(tmp_path / annotations / "classes.txt", "dog\n")
    assert "VOC" in recognize(tmp_path).what
    assert open_dataset(tmp_path).classes == ("cat",)
    if annotations == "annotations":
        return
    for name in "bcd":
        text(tmp_path / annotations / f"{name}.txt", LINE)
    assert "YOLO" in recognize(tmp_path).what


def test_an_xml_without_its_image_is_named_where_there_is_no_list(tmp_path: Path) -> None:
    voc_labelimg(tmp_path)
    xml(tmp_path / "annots/b.xml")
    with pytest.raises(
        UserError, match=r"b\.jpg: no such image, but .*b\.xml is there; restore the image, or remove the xml"
    ):
        open_dataset(tmp_path)


def test_cvats_own_xml_is_told(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.jpg")
    text(tmp_path / "annotations.xml", '<annotations><version>1.1</version><image name="a.jpg"/></annotations>')
    with pytest.raises(UserError, match=r"begins with <annotations>, not with VOC's <annotation>; export it as PASCAL"):
        open_dataset(tmp_path)
