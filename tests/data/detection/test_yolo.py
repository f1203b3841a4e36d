"""YOLO files: fractions, polygons, names, image lists, flaws of common exports, and one-line errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from resdet.data.detection.yolo import YOLODataset
from resdet.errors import UserError

NAMES = ("cat", "dog", "bird")


def write_image(path: Path, height: int = 40, width: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))


def write_label(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_set(root: Path, texts: dict[str, str | None], image_set: str = "train") -> Path:
    """Images of 60x40 with their label files; None writes no label file."""
    (root / "labels" / image_set).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_image(root / "images" / image_set / f"{name}.png")
        if text is not None:
            write_label(root / "labels" / image_set / f"{name}.txt", text)
    return root


def test_fractions_become_pixels_and_folders_are_searched_recursively(tmp_path: Path) -> None:
    root = write_set(tmp_path, {"b": "2 0.5 0.5 0.5 0.25\n\n0 0.25 0.75 0.1 0.2\n", "a/deep.v2": "1.0 0.5 .5 1 1"})
    dataset = YOLODataset(root, ["train"], NAMES)
    assert dataset.classes == NAMES
    assert dataset.table.ids.tolist() == ["train/a/deep.v2", "train/b"]
    np.testing.assert_allclose(dataset[1].boxes, [[15, 15, 45, 25], [12, 26, 18, 34]], atol=1e-5)
    assert dataset[1].labels.tolist() == [2, 0]
    assert dataset[0].boxes.tolist() == [[0, 0, 60, 40]]
    assert dataset[0].labels.tolist() == [1]


def test_polygons_give_their_enclosing_box(tmp_path: Path) -> None:
    root = write_set(tmp_path, {"a": "0 0.5 0.25 0.9 0.5 0.5 0.75 0.1 0.5", "b": "1 0 0 1 0 1 1"})
    dataset = YOLODataset(root, "train", NAMES)
    np.testing.assert_allclose(dataset.table.boxes, [[6, 10, 54, 30], [0, 0, 60, 40]])


def test_images_without_txt_or_with_an_empty_one_have_no_objects(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_set(tmp_path, {"a": "0 .5 .5 .5 .5", "b": "\n", "c": None})
    with caplog.at_level("WARNING", "resdet"):
        dataset = YOLODataset(root, "train", NAMES)
    assert np.diff(dataset.table.offsets).tolist() == [1, 0, 0]
    assert dataset[2].boxes.shape == (0, 4)
    assert "1 of 3 images have no txt file (first: train/c)" in caplog.text
    assert len(caplog.records) == 1


def test_boxes_follow_the_image_as_it_is_displayed(tmp_path: Path) -> None:
    """EXIF orientation 6: stored as 60x40, shown as 40x60."""
    path = write_set(tmp_path, {"a": "0 0.5 0.25 1 0.5"}) / "images/train/a.jpg"
    (tmp_path / "images/train/a.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(path, exif=exif)
    sample = YOLODataset(tmp_path, "train", NAMES)[0]
    assert sample.image.shape == (60, 40, 3)
    assert sample.boxes.tolist() == [[0, 0, 40, 30]]


def test_repeated_lines_are_dropped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = "1 0.5 0.5 0.5 0.5\n"
    root = write_set(tmp_path, {"a": line, "b": line * 2 + "2 0.5 0.5 0.5 0.5\n" + "1  0.50 0.5 0.5 0.5"})
    with caplog.at_level("WARNING", "resdet"):
        dataset = YOLODataset(root, "train", NAMES)
    assert dataset.table.labels.tolist() == [1, 1, 2]  # the same box of another class stays
    assert "2 objects repeat another of their image and were dropped (first: train/b)" in caplog.text


def test_rounding_to_six_digits_gives_no_warning_and_larger_excess_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_set(tmp_path, {"a": "0 0.333333 0.5 0.666667 1"})
    with caplog.at_level("WARNING", "resdet"):
        box = YOLODataset(root, "train", NAMES).table.boxes[0]
    assert box[0] == 0.0
    assert box[2] == pytest.approx(40, abs=1e-4)
    assert not caplog.records
    write_label(root / "labels/train/a.txt", "0 0.9 0.5 0.4 1\n1 1.005 0.5 0 0.2")
    with caplog.at_level("WARNING", "resdet"):
        boxes = YOLODataset(root, "train", NAMES).table.boxes
    np.testing.assert_allclose(boxes, [[42, 0, 60, 40]])
    assert "1 boxes extend beyond their image and were clipped, 1 have no area" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 .5 .5 .5 .5\n3 .5 .5 .5 .5", r"a.txt:2: class 3 is not one of 0\.\.2"),
        ("-1 .5 .5 .5 .5", r"a.txt:1: class -1 is not one of"),
        ("0.5 .5 .5 .5 .5", r"a.txt:1: class 0.5 is not one of"),
        ("cat .5 .5 .5 .5", r"a.txt:1: names the class 'cat' in the place of its number; write"),
        ("0 .5 .5 .5 nan", r"a.txt:1: 'nan' is not a number"),
        ("0 .5 .5 .5", r"a.txt:1: '0 .5 .5 .5' is not 'class cx cy w h'"),
        ("0 .5 .5 .5 .5 .9", r"a.txt:1: 6 numbers are .* as of a prediction its confidence; remove"),
        ("0 .5 .5 .5 .5 1.9", r"a.txt:1: 6 numbers are neither .* nor .* polygon"),
        ("0, .5, .5, .5, .5", r"a.txt:1: '0, .5, .5, .5, .5' has commas; write blanks between the numbers"),
        ("0 0,5 0,5 0,5 0,5", r"a.txt:1: '0 0,5 0,5 0,5 0,5' has commas; .* and points in them"),
        ("0 30 20 10 10", r"a.txt:1: 30 is not a fraction of the image"),
        ("0 .5 .5 .5 1.02", r"a.txt:1: 1.02 is not a fraction of the image"),
        ("0 .5 .5 -.5 .5", r"a.txt:1: -.5 is not a fraction of the image"),
        ("0 0 0 1 0 1 -.2", r"a.txt:1: -.2 is not a fraction of the image"),
    ],
)
def test_a_bad_line_is_named_with_how_to_fix_it(tmp_path: Path, text: str, message: str) -> None:
    root = write_set(tmp_path, {"a": text})
    with pytest.raises(UserError, match=message) as caught:
        YOLODataset(root, "train", NAMES)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


def test_class_names_come_from_classes_txt_or_else_from_data_yaml(tmp_path: Path) -> None:
    root = write_set(tmp_path, {"a": "1 .5 .5 .5 .5"})
    with pytest.raises(UserError, match=r"neither classes.txt nor data.yaml is there"):
        YOLODataset(root, "train")
    (root / "data.yaml").write_text("path: x\nnames:\n  1: dog\n  0: cat\n")
    assert YOLODataset(root, "train").classes == ("cat", "dog")
    (root / "data.yaml").write_text("nc: 2\nnames: [kitten, 'no']\n")
    assert YOLODataset(root, "train").classes == ("kitten", "no")
    (root / "classes.txt").write_text("\ufeffcat\ntraffic light\n\n", encoding="utf-8")
    assert YOLODataset(root, "train").classes == ("cat", "traffic light")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("classes.txt", "cat\n\ndog\n", "a class has an empty name"),
        ("classes.txt", "cat\ncat\n", "the class 'cat' is there twice"),
        ("classes.txt", "\n", "names no class"),
        ("data.yaml", "nc: 2\nnames: {0: cat, 2: dog}", ":2: 'names' numbers 2 classes up to 2, and has none with 1; "),
        ("data.yaml", "names: {cat: 0, dog: 1}", ":1: 'names' has the key 'cat'; write a number and a name each"),
        ("data.yaml", "train: x\nnc: 3\nnames: [cat, dog]", ":2: nc is 3, but 2 classes are named; correct one of"),
        ("data.yaml", "names:\n  0: cat\n  0: dog", ":2: has '0' twice; keep one"),
        ("data.yaml", "names: [cat, dog]\nkpt_shape: 17", "kpt_shape 17 is not"),
        ("data.yaml", "nc: 2", "has no 'names'"),
        ("data.yaml", "- cat", "has no 'names'"),
        ("data.yaml", "names: [yes, no]", "YAML does not read the name True as text; put it in quotes"),
        ("data.yaml", "names: [cat\nnc: 2", "not valid YAML"),
        ("data.yaml", "names: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_invalid_class_names_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    root = write_set(tmp_path, {"a": "1 .5 .5 .5 .5"})
    (root / name).write_text(text)
    with pytest.raises(UserError, match=f"{name}.*{message}") as caught:
        YOLODataset(root, "train")
    assert "\n" not in str(caught.value)


def test_image_sets_are_merged_and_must_not_share_images(tmp_path: Path) -> None:
    root = write_set(write_set(tmp_path, {"a": "0 .5 .5 .5 .5"}), {"a": "1 .5 .5 .5 .5"}, "val")
    both = YOLODataset(root, ["val", "train"], NAMES)
    assert both.table.ids.tolist() == ["val/a", "train/a"]
    assert both.table.labels.tolist() == [1, 0]
    assert YOLODataset(root, ".", NAMES).table.ids.tolist() == ["train/a", "val/a"]
    with pytest.raises(UserError, match="image 'train/a' is in the chosen sets twice"):
        YOLODataset(root, ["train", "."], NAMES)
    write_image(root / "images/train/a.jpg")  # would share a.png's labels
    with pytest.raises(UserError, match=r"a.png: image 'train/a' is in the chosen sets twice \(first .*a.jpg\)"):
        YOLODataset(root, "train", NAMES)


def test_splits_may_have_their_own_folders_of_images_and_labels(tmp_path: Path) -> None:
    for image_set in ("train", "valid"):
        write_image(tmp_path / image_set / "images/a.png")
        write_label(tmp_path / image_set / "labels/a.txt", "0 .5 .5 .5 .5")
    both = YOLODataset(tmp_path, ["train", "valid"], NAMES)
    assert both.table.ids.tolist() == ["train/a", "valid/a"]
    assert both.table.labels.tolist() == [0, 0]


def test_a_list_names_the_images_of_a_set(tmp_path: Path) -> None:
    root = write_set(tmp_path, {"a": "0 .5 .5 .5 .5", "b": "1 .5 .5 .5 .5", "c": "2 .5 .5 .5 .5"})
    write_image(root / "obj_train_data/d.png")
    write_label(root / "obj_train_data/d.txt", "2 .5 .5 .5 .5")
    (root / "some.txt").write_text(f"images/train/c.png\n./images/train/a.png\n\nobj_train_data/d.png\n{root}/b.png\n")
    write_image(root / "b.png")
    dataset = YOLODataset(root, "some.txt", NAMES)
    assert dataset.table.ids.tolist() == ["train/c", "train/a", "obj_train_data/d", "b"]
    assert dataset.table.labels.tolist() == [2, 0, 2]
    with pytest.raises(UserError, match="image 'train/a' is in the chosen sets twice"):
        YOLODataset(root, ["some.txt", "train"], NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "some.txt: no image in this image set"),
        ("/elsewhere/a.png", "some.txt:1: '/elsewhere/a.png' is not below"),
        ("images/../../a.png", "some.txt:1: 'images/../../a.png' is not below"),
        ("images/train/z.png", "z.png: no such image"),
        ("images/train/a.png\nimages/train/a.png", "'train/a' is in the chosen sets twice"),
    ],
)
def test_a_bad_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    root = write_set(tmp_path, {"a": "0 .5 .5 .5 .5"})
    (root / "some.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        YOLODataset(root, "some.txt", NAMES)


@pytest.mark.parametrize(
    ("break_it", "image_set", "message"),
    [
        (lambda r: None, "val", r"images/val: no such folder; put the images of the set 'val' there"),
        (lambda r: None, "val.txt", r"val.txt: no such file"),
        (lambda r: (r / "images/train/a.png").rename(r / "images/train/._a.png"), "train", r"train: no image in this"),
        (lambda r: (r / "labels/train").rename(r / "labels/trian"), "train", r"labels/train: no such folder of labels"),
        (lambda r: (r / "images/train/a.png").write_text("text"), "train", r"a.png: unreadable image header"),
        (lambda r: (r / "labels/train/a.txt").write_bytes(b"\xff\xfe0"), "train", r"a.txt: not a UTF-8 text file"),
    ],
)
def test_missing_and_broken_files_are_named(
    tmp_path: Path, break_it: Callable[[Path], object], image_set: str, message: str
) -> None:
    root = write_set(tmp_path, {"a": "0 .5 .5 .5 .5"})
    break_it(root)
    with pytest.raises(UserError, match=message) as caught:
        YOLODataset(root, image_set, NAMES)
    assert "\n" not in str(caught.value)


# As tools write it ----------------------------------------------------------------------------------------------------


def test_a_list_may_have_absolute_paths_below_a_relative_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_set(tmp_path / "data", {"a": "0 .5 .5 .5 .5", "b": "1 .5 .5 .5 .5"})
    (root / "some.txt").write_text(f"{root}/images/train/b.png\n/gone/elsewhere/data/images/train/a.png\n")
    monkeypatch.chdir(tmp_path)
    dataset = YOLODataset("data", "some.txt", NAMES)
    assert dataset.table.ids.tolist() == ["train/b", "train/a"]  # the second path is of another computer
    assert dataset.table.labels.tolist() == [1, 0]


def test_a_list_may_have_backslashes_and_darknets_folder(tmp_path: Path) -> None:
    root = write_set(tmp_path, {"a": "0 .5 .5 .5 .5"})
    write_image(root / "obj_train_data/b c.png")
    write_label(root / "obj_train_data/b c.txt", "2 .5 .5 .5 .5")
    (root / "some.txt").write_text("images\\train\\a.png\ndata/obj_train_data/b c.png\n")
    assert YOLODataset(root, "some.txt", NAMES).table.ids.tolist() == ["train/a", "obj_train_data/b c"]


def test_txt_files_may_be_beside_the_images(tmp_path: Path) -> None:
    write_image(tmp_path / "train/a.jpg")
    write_label(tmp_path / "train/a.txt", "2 .5 .5 .5 .5")
    assert YOLODataset(tmp_path, "train", NAMES).table.labels.tolist() == [2]


def test_txt_files_without_image_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_set(tmp_path, {"a": "0 .5 .5 .5 .5"})
    write_label(root / "labels/train/b.txt", "0 .5 .5 .5 .5")
    with caplog.at_level("WARNING", "resdet"):
        assert len(YOLODataset(root, "train", NAMES)) == 1
    assert "1 txt files have no image (first: " in caplog.text


def test_names_may_have_numbers_as_text_for_keys(tmp_path: Path) -> None:
    root = write_set(tmp_path, {"a": "1 .5 .5 .5 .5"})
    (root / "data.yaml").write_text("names: {'1': dog, '0': cat}\n")
    assert YOLODataset(root, "train").classes == ("cat", "dog")
    (root / "data.yaml").write_text("names: {true: dog, 0: cat}\n")
    with pytest.raises(UserError, match="'names' has the key True"):
        YOLODataset(root, "train")


@pytest.mark.parametrize(
    ("image", "label", "image_set"),
    [
        ("Images/a.png", "Labels/a.txt", "."),  # zipped on Windows
        ("IMAGES/train/a.png", "labels/Train/a.txt", "train"),
        ("train/Images/a.png", "train/Labels/a.txt", "train"),
        ("images/images/a.png", "labels/images/a.txt", "images"),  # a set that is called images
        ("images/images/a.png", "images/labels/a.txt", "images"),  # the same in a folder of its own
        ("images/images/a.png", "images/labels/a.txt", "list.txt"),
        ("Images/deep/a.png", "Labels/deep/a.txt", "list.txt"),
        ("images/a.png", "images/a.txt", "."),  # beside their images, in a folder of this name
    ],
)
def test_labels_are_found_in_the_folder_that_is_there(
    tmp_path: Path, image: str, label: str, image_set: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / image)
    write_label(tmp_path / label, "1 .5 .5 .5 .5")
    (tmp_path / "list.txt").write_text(image)
    with caplog.at_level("WARNING", "resdet"):
        assert YOLODataset(tmp_path, image_set, NAMES).table.labels.tolist() == [1]
    assert not caplog.records


def test_of_two_folders_of_labels_the_last_images_of_a_path_is_replaced(tmp_path: Path) -> None:
    """Ultralytics' rule, where the files do not tell."""
    write_image(tmp_path / "images/images/a.png")
    write_label(tmp_path / "images/labels/a.txt", "1 .5 .5 .5 .5")
    write_label(tmp_path / "labels/images/a.txt", "0 .5 .5 .5 .5")
    assert YOLODataset(tmp_path, "images", NAMES).table.labels.tolist() == [1]


def test_messages_stay_short_where_a_listed_path_is_long(tmp_path: Path) -> None:
    root = write_set(tmp_path, {"a": "0 .5 .5 .5 .5"})
    long = "9" * 309 + "/a.png"
    (root / "some.txt").write_text(f"images/train/a.png\n{long}\n{long}\n")
    with pytest.raises(UserError, match="is in the chosen sets twice") as caught:
        YOLODataset(root, "some.txt", NAMES)
    assert len(str(caught.value)) < 400
