"""What a data set's sets are for, by their names: the one to train on, the one to test on while training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.datasets import write_voc
from helpers.voc import SIZE_XML, object_xml, write_image
from resdet.data.detection import open_dataset
from resdet.data.detection.recognition import recognize
from resdet.data.detection.recognized import Recognized, Source, choose_names, role_of
from resdet.data.detection.voc import VOCDataset
from resdet.errors import UserError
from resdet.recipes.detection.new_config import Trunk, new_config

LINE = "0 .5 .5 .5 .5\n"
CAT = f"<annotation>{SIZE_XML}{object_xml('cat', (1, 1, 9, 9))}</annotation>"


@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        (["images", "val"], "images", "val"),
        (["photos", "test"], "photos", "test"),
        (["test", "train", "valid"], "train", "valid"),
        (["test", "train"], "train", "test"),
        (["Train", "Validation"], "Train", "Validation"),
        (["TEST", "TRAIN"], "TRAIN", "TEST"),
        (["training", "validation"], "training", "validation"),
        (["train2017", "val2017"], "train2017", "val2017"),
        (["train_set", "test_set", "val_set"], "train_set", "val_set"),
        (["birds_train", "birds_val"], "birds_train", "birds_val"),
        (["train_annotations", "val_annotations"], "train_annotations", "val_annotations"),
        (["person_keypoints_train2017", "train2017", "val2017"], "train2017", "val2017"),
        (["train2014", "minival2014"], "train2014", "minival2014"),
        (["testA", "trainA"], "trainA", "testA"),
        (["TestSet", "TrainSet", "ValSet"], "TrainSet", "ValSet"),
        (["trainImages", "valImages"], "trainImages", "valImages"),
        (["test-dev2017", "val2017"], "val2017", "test-dev2017"),
        (["train_val", "test"], "train_val", "test"),
        (["test", "train", "trainval", "val"], "trainval", "test"),
        (["train", "trainval", "val"], "train", "val"),
        (["test", "val"], "val", "test"),
        (["test"], "test", None),
        (["all"], "all", None),
        (["day", "night"], "day", None),
        (["train"], "train", None),
    ],
)
def test_the_names_of_the_sets_say_what_they_are_for(names: list[str], train: str, test: str | None) -> None:
    found = Recognized("", Path(), {name: Source(VOCDataset, {}) for name in names})
    assert choose_names(found) == (train, test)


@pytest.mark.parametrize("name", ["trainer", "contest", "evaluated", "constrained", "train_test", "latest", "images"])
def test_other_words_say_nothing(name: str) -> None:
    assert role_of(name) is None


def yolo(root: Path, *names: str) -> Path:
    for name in names:
        for i in range(5):
            write_image(root / f"images/{name}/{name}{i}.jpg")
            (root / f"labels/{name}").mkdir(parents=True, exist_ok=True)
            (root / f"labels/{name}/{name}{i}.txt").write_text(LINE)
    (root / "data.yaml").write_text("names: [cat]\n")
    return root


def test_a_set_for_validation_beside_one_of_any_name_is_tested_on(tmp_path: Path) -> None:
    root = yolo(tmp_path, "images", "val")
    made = new_config(root, "mine.py", Trunk())
    assert "Set images: 5 images, data.train" in made.choices
    assert "Set val: 5 images, data.test, measured while training" in made.choices
    assert "SplitPart" not in made.text
    assert open_dataset(root).table.ids.tolist()[0] == "images/images0"


def voc_files(root: Path, folder: str, annotations: str) -> None:
    """Three images, named after their folder, and their xml files."""
    for i in range(3):
        name = f"{Path(folder).name}{i}"
        write_image(root / folder / f"{name}.jpg")
        path = root / annotations / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CAT)


@pytest.mark.parametrize("annotations", ["annotations", "Annotations", "xmls"])
def test_folders_of_annotations_without_lists_are_sets(tmp_path: Path, annotations: str) -> None:
    for name in ("train", "val"):
        voc_files(tmp_path, f"images/{name}", f"{annotations}/{name}")
    found = recognize(tmp_path)
    assert choose_names(found) == ("train", "val")
    assert open_dataset(tmp_path, "val").table.ids.tolist() == ["val/val0", "val/val1", "val/val2"]
    made = new_config(tmp_path, "mine.py", Trunk())
    assert "SplitPart" not in made.text
    assert "splits=[('', 'train/*')], classes=CLASSES" in made.text


def test_folders_of_annotations_that_are_no_sets_stay_one(tmp_path: Path) -> None:
    for name in ("cam_1", "cam_2"):
        voc_files(tmp_path, f"images/{name}", f"annotations/{name}")
    assert list(recognize(tmp_path).sets) == ["all"]


def test_voc_in_folders_with_years_is_recognized(tmp_path: Path) -> None:
    for name in ("train2017", "val2017"):
        voc_files(tmp_path, name, name)
    assert choose_names(recognize(tmp_path)) == ("train2017", "val2017")


def test_what_data_yaml_says_goes_before_names(tmp_path: Path) -> None:
    root = yolo(tmp_path, "images", "val")
    (root / "data.yaml").write_text("train: images/val\nval: images/images\nnames: [cat]\n")
    made = new_config(root, "mine.py", Trunk())
    assert "Set train: 5 images, data.train" in made.choices
    assert open_dataset(root, "train").table.ids.tolist()[0] == "val/val0"


def test_the_part_that_is_not_chosen_is_told(tmp_path: Path) -> None:
    good = [("apple", 5, 5, 50, 60)]
    write_voc(tmp_path, {"day": {"a": good}, "night": {"b": good}, "val": {"c": good}})
    said = new_config(tmp_path, "mine.py", Trunk()).choices
    assert "Set day: 1 image, data.train" in said
    assert "Set night: 1 image, not used" in said
    assert "Set val: 1 image, data.test, measured while training" in said


def beside(root: Path, form: str, *names: str) -> Path:
    """A folder of each name, with images and their annotations side by side or, of COCO, one file."""
    for name in names:
        for i in range(3):
            write_image(root / name / f"{name}{i}.jpg")
            if form == "voc":
                voc_files(root, name, name)
            elif form == "yolo":
                (root / name / f"{name}{i}.txt").write_text(LINE)
        if form == "coco":
            images = [{"id": i, "file_name": f"{name}{i}.jpg", "width": 60, "height": 40} for i in range(3)]
            objects = [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81} for i in range(3)]
            content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
            (root / name / "labels.json").write_text(json.dumps(content))
    if form == "yolo":
        (root / "classes.txt").write_text("cat\n")
    return root


@pytest.mark.parametrize("form", ["voc", "yolo", "coco"])
@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        (["photos", "val"], "photos", "val"),
        (["street", "crash_test"], "street", "crash_test"),
        (["arduino", "dev_board"], "arduino", "dev_board"),
        (["batch1", "batch2", "batch2_test"], "batch1", "batch2_test"),
        (["train", "more", "val"], "train", "val"),
    ],
)
def test_all_folders_are_sets_where_one_is_named_as_a_set(
    form: str, names: list[str], train: str, test: str, tmp_path: Path
) -> None:
    found = recognize(beside(tmp_path, form, *names))
    assert sorted(found.sets) == sorted(names)
    assert choose_names(found) == (train, test)
    assert [len(open_dataset(tmp_path, name)) for name in names] == [3] * len(names)


@pytest.mark.parametrize("form", ["voc", "yolo"])
def test_images_deeper_in_a_folder_are_a_set_too(form: str, tmp_path: Path) -> None:
    beside(tmp_path / "photos", form, "day")
    found = recognize(beside(tmp_path, form, "val"))
    assert choose_names(found) == ("photos", "val")
    assert len(open_dataset(tmp_path, "photos")) == 3


@pytest.mark.parametrize(
    ("form", "images", "annotations"),
    [
        ("voc", ".", "."),
        ("voc", "JPEGImages", "Annotations"),
        ("voc", "VOC2007/JPEGImages", "VOC2007/Annotations"),
        ("voc", "images", "annotations"),
        ("voc", "my_images", "my_labels"),
        ("yolo", ".", "."),
        ("yolo", "images", "labels"),
        ("yolo", "data/Images", "data/Labels"),
        ("yolo", "my_images", "my_labels"),
    ],
)
@pytest.mark.parametrize("name", ["val", "train"])
def test_images_beside_the_folder_of_a_set_are_refused(
    form: str, images: str, annotations: str, name: str, tmp_path: Path
) -> None:
    for file in ("a", f"{name}/b"):
        write_image(tmp_path / images / f"{file}.jpg")
        path = tmp_path / annotations / f"{file}.{'xml' if form == 'voc' else 'txt'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CAT if form == "voc" else LINE)
    if form == "yolo":
        (tmp_path / "classes.txt").write_text("cat\n")
    message = f"has files beside the set {name}, and they are in no set; move images and annotations alike into"
    with pytest.raises(UserError, match=message):
        recognize(tmp_path)


def test_images_beside_a_set_may_be_divided_by_lists(tmp_path: Path) -> None:
    beside(tmp_path / "images", "yolo", "val")
    (tmp_path / "classes.txt").write_text("cat\n")
    write_image(tmp_path / "images/a.jpg")
    (tmp_path / "labels/val").mkdir(parents=True)
    (tmp_path / "train.txt").write_text("images/a.jpg\n")
    (tmp_path / "val.txt").write_text("images/val/val0.jpg\n")
    assert list(recognize(tmp_path).sets) == ["train", "val"]


@pytest.mark.parametrize("form", ["voc", "yolo", "coco"])
def test_several_sets_that_could_be_trained_on_are_told(
    form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside(tmp_path, form, "batch1", "batch2", "batch2_test")
    told = "no name says which of the sets batch1, batch2 is for training: batch1 is taken, the others are not used"
    assert any(told in line for line in new_config(tmp_path, "mine.py", Trunk()).choices)
    open_dataset(tmp_path, "batch2")
    assert told not in caplog.text
    open_dataset(tmp_path)
    assert told in caplog.text


def test_one_set_that_could_be_trained_on_is_clear(tmp_path: Path) -> None:
    beside(tmp_path, "voc", "photos", "val")
    assert not any("no name says" in line for line in new_config(tmp_path, "mine.py", Trunk()).choices)


def test_sets_below_images_of_a_folder_are_all_taken(tmp_path: Path) -> None:
    for name in ("photos", "val"):
        write_image(tmp_path / f"data/images/{name}/a.jpg")
        path = tmp_path / f"data/labels/{name}/a.txt"
        path.parent.mkdir(parents=True)
        path.write_text(LINE)
    (tmp_path / "classes.txt").write_text("cat\n")
    assert list(recognize(tmp_path).sets) == ["photos", "val"]


def voc_lists(root: Path, **lists: str) -> Path:
    """VOC's own layout with images of cats and dogs, and lists by their names."""
    for name in "abcd":
        write_image(root / f"VOC2007/JPEGImages/{name}.jpg")
        path = root / f"VOC2007/Annotations/{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        objects = object_xml("cat", (1, 1, 9, 9)) + object_xml("dog", (1, 1, 19, 9))
        path.write_text(f"<annotation>{SIZE_XML}{objects}</annotation>")
    (root / "VOC2007/ImageSets/Main").mkdir(parents=True)
    for name, lines in lists.items():
        (root / f"VOC2007/ImageSets/Main/{name}.txt").write_text(lines)
    return root


@pytest.mark.parametrize(
    "names", [("bdd_train2017", "bdd_val2017"), ("v1_trainset", "v1_testset"), ("birds_train", "birds_val")]
)
def test_lists_of_sets_are_not_taken_for_lists_of_classes(tmp_path: Path, names: tuple[str, str]) -> None:
    found = recognize(voc_lists(tmp_path, **dict(zip(names, ("a\nb\n", "c.jpg\nd.jpg\n"), strict=True))))
    assert choose_names(found) == names
    assert open_dataset(tmp_path, names[1]).table.ids.tolist() == ["c", "d"]


def test_lists_of_sets_may_have_the_name_of_the_only_class(tmp_path: Path) -> None:
    assert list(recognize(voc_lists(tmp_path, cat_train="a\nb\n", cat_val="c\nd\n")).sets) == ["cat_train", "cat_val"]


@pytest.mark.parametrize(
    ("lists", "sets"),
    [
        ({"train": "a\n", "val": "b\n", "cat_train": "a 1\n", "cat_val": "b -1\n"}, ["train", "val"]),
        ({"train": "a\n", "val": "b\n", "cat_train": "a\n", "dog_val": ""}, ["train", "val"]),
        ({"cat_train": "a.jpg 1\nb.jpg -1\n", "cat_val": "c.jpg 1\n"}, ["all"]),
        ({"cat_train": "a.jpg\n", "dog_train": "a.jpg\n", "cat_val": "b\n", "dog_val": "b\n"}, ["all"]),
        ({"day_train": "a\n", "night_train": "b\n"}, ["day_train", "night_train"]),
    ],
)
def test_lists_of_classes_are_no_sets(tmp_path: Path, lists: dict[str, str], sets: list[str]) -> None:
    assert list(recognize(voc_lists(tmp_path, **lists)).sets) == sets
