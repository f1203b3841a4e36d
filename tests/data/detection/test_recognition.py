"""Data sets are recognized by the layout of their files, as their tools write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import layouts
from helpers.layouts import LINE, coco, labelled, text, xml
from helpers.voc import write_image
from resdet.data.detection import open_dataset
from resdet.data.detection.recognition import recognize
from resdet.data.detection.recognized import choose_sets


@pytest.mark.parametrize(
    ("layout", "what", "sets"),
    [
        (layouts.voc_devkit, "PASCAL VOC", ["train", "val"]),
        (layouts.voc_cvat, "VOC as CVAT exports it", ["all"]),
        (layouts.voc_label_studio, "VOC as Label Studio exports it", ["all"]),
        (layouts.voc_roboflow, "VOC as Roboflow exports it", ["test", "train", "valid"]),
        (layouts.voc_labelimg, "VOC without lists, as labelImg writes it", ["all"]),
        (layouts.yolo_ultralytics, "YOLO", ["train", "val"]),
        (layouts.yolo_roboflow, "YOLO as Roboflow exports it", ["train", "valid"]),
        (layouts.yolo_cvat, "YOLO as CVAT exports it (Darknet)", ["train"]),
        (layouts.yolo_label_studio, "YOLO as Label Studio exports it", ["all"]),
        (layouts.yolo_labelimg, "YOLO with the txt files beside the images", ["all"]),
        (layouts.coco_itself, "COCO", ["train2017", "val2017"]),
        (layouts.coco_roboflow, "COCO as Roboflow exports it", ["train", "valid"]),
        (layouts.coco_cvat, "COCO as CVAT exports it", ["all"]),
        (layouts.coco_label_studio, "COCO as Label Studio exports it", ["all"]),
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
    layouts.coco_label_studio(tmp_path)
    assert len(open_dataset(tmp_path / "result.json")) == 1
    layouts.yolo_roboflow(tmp_path / "yolo")
    assert len(open_dataset(tmp_path / "yolo/data.yaml")) == 1


@pytest.mark.parametrize(
    ("build", "sets"),
    [
        (layouts.yolo_below_its_settings, ["train", "val"]),
        (layouts.yolo_fiftyone, ["images"]),
        (layouts.yolo_roboflow_darknet, ["train", "valid"]),
        (layouts.yolo_beside_in_folders_of_sets, ["train", "val"]),
        (layouts.voc_fiftyone, ["all"]),
        (layouts.yolo_with_lists_of_its_settings, ["train", "val"]),
        (layouts.yolo_with_lists_beside_undivided_images, ["train", "val"]),
        (layouts.yolo_with_lists_of_older_images, ["all"]),
        (layouts.yolo_darknet, ["train"]),
        (layouts.yolo_from_windows, ["train", "val"]),
        (layouts.yolo_with_a_set_called_images, ["images"]),
        (layouts.yolo_roboflow_from_windows, ["images", "train"]),
        (layouts.coco_from_windows, ["train"]),
        (layouts.voc_from_windows, ["all"]),
        (layouts.voc_vott, ["all"]),
        (layouts.voc_in_folders_of_sets, ["train", "val"]),
        (layouts.voc_with_sets_below, ["test", "train"]),
        (layouts.coco_in_folders_of_sets, ["train", "val"]),
        (layouts.coco_in_voc_s_folder, ["train_annotations", "val_annotations"]),
        (layouts.coco_lvis, ["lvis_v1_train"]),
        (layouts.coco_label_studio_from_its_server, ["all"]),
        (layouts.coco_label_studio_with_its_project, ["all"]),
        (layouts.coco_2017, ["train2017", "val2017"]),
        (layouts.coco_label_studio_elsewhere, ["all"]),
        (layouts.yolo_labelimg_in_folders, ["all"]),
        (layouts.yolo_with_another_settings_file, ["train"]),
    ],
)
def test_further_layouts(tmp_path: Path, build: Callable[[Path], None], sets: list[str]) -> None:
    build(tmp_path)
    assert list(recognize(tmp_path).sets) == sets
    for name in sets:
        assert open_dataset(tmp_path, name).classes == ("cat",)
    assert len(open_dataset(tmp_path)[0].boxes) == 1


@pytest.mark.parametrize("suffix", [".txt", ".xml"])
@pytest.mark.parametrize(
    ("images", "annotations", "sets"),
    [
        ("{}_images", "{}_labels", ["train_images", "val_images"]),
        ("Images_{}", "annotations_{}", ["Images_train", "Images_val"]),
        ("{}/img", "{}/ann", ["train", "val"]),
        ("{}/images", "{}/annotations", ["train", "val"]),
        ("my_images/{}", "my_labels/{}", ["train", "val"]),
        ("my_images", "my_xml", ["my_images"]),
    ],
)
def test_folders_that_a_word_tells_apart_are_pairs(
    tmp_path: Path, suffix: str, images: str, annotations: str, sets: list[str]
) -> None:
    for name in ("train", "val"):
        image, annotation = images.format(name), annotations.format(name)
        labelled(tmp_path, f"{image}/{name}.jpg", f"{annotation}/{name}{suffix}")
    if suffix == ".txt":
        text(tmp_path / "classes.txt", "cat\n")
    assert list(recognize(tmp_path).sets) == sets
    for name in sets:
        dataset = open_dataset(tmp_path, name)
        assert (dataset.classes, len(dataset), len(dataset[0].boxes)) == (("cat",), 2 // len(sets), 1)


def test_class_names_may_lie_beside_the_labels_of_a_pair(tmp_path: Path) -> None:
    labelled(tmp_path, "train_images/a.jpg", "train_labels/a.txt")
    text(tmp_path / "train_labels/classes.txt", "cat\n")
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
    layouts.coco_2017(tmp_path)
    found = recognize(tmp_path)
    assert (found.named("train"), found.named("val"), found.named("test")) == ("train2017", "val2017", None)


def test_a_set_without_images_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(tmp_path / "train/a.jpg")
    coco(tmp_path / "train/_annotations.coco.json", "a.jpg")
    text(tmp_path / "valid/_annotations.coco.json", '{"images": [], "annotations": [], "categories": []}')
    assert list(recognize(tmp_path).sets) == ["train"]
    assert "_annotations.coco.json: lists no image; this set is left out" in caplog.text


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
