"""What a data set's sets are for, by their names: the one to train on, the one to test on while training."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.datasets import write_voc
from helpers.voc import SIZE_XML, object_xml, write_image
from resdet.data.detection import open_dataset
from resdet.data.detection.recognition import recognize
from resdet.data.detection.recognized import Recognized, Source, choose_names, role_of
from resdet.data.detection.voc import VOCDataset
from resdet.recipes.detection.new_config import Trunk, new_config

LINE = "0 .5 .5 .5 .5\n"


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


@pytest.mark.parametrize("name", ["trainer", "contest", "evaluated", "constrained", "test-dev2017", "latest", "images"])
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
        path.write_text(f"<annotation>{SIZE_XML}{object_xml('cat', (1, 1, 9, 9))}</annotation>")


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
