"""Which files are images, and which file an annotation means: one rule for all readers."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest

from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.yolo import YOLODataset
from resdet.data.image_files import (
    find_images,
    folder_named,
    images_by_name,
    is_hidden,
    missing_images,
    require_images,
    resolve_image,
)
from resdet.errors import UserError

SUFFIXES = (".jpg", ".JPEG", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".jp2")
HIDDEN = ("._0.jpg", "Thumbs.db", ".ipynb_checkpoints/0-checkpoint.jpg", "__MACOSX/0.jpg", ".DS_Store", "desktop.ini")


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.lower() if path.suffix.lower() in SUFFIXES[2:] else ".jpg"
    ok, encoded = cv2.imencode(kind, np.full((40, 60, 3), 90, np.uint8))
    assert ok
    path.write_bytes(encoded.tobytes())
    return path


def write_each_suffix(folder: Path) -> None:
    for number, suffix in enumerate(SUFFIXES):
        write(folder / f"{number}{suffix}")
    for name in HIDDEN:
        write(folder / name)


def test_voc_yolo_and_folders_read_the_same_kinds_of_images_and_no_hidden_files(tmp_path: Path) -> None:
    voc, yolo, classes = tmp_path / "VOCx", tmp_path / "yolo", tmp_path / "cls"
    write_each_suffix(voc / "JPEGImages")
    write_each_suffix(yolo / "images/t")
    write_each_suffix(classes / "train/cat")
    (classes / "train/.ipynb_checkpoints").mkdir()
    ids = [str(number) for number in range(len(SUFFIXES))]
    (voc / "ImageSets/Main").mkdir(parents=True)
    (voc / "ImageSets/Main/t.txt").write_text("\n".join(ids))
    (yolo / "labels/t").mkdir(parents=True)
    voc_set = VOCDataset(tmp_path, [("x", "t")], ["cat"], annotated=False)
    yolo_set = YOLODataset(yolo, "t", ["cat"])
    folders = ImageNetDataset(classes, "train")
    assert folders.classes == ("cat",)
    assert [len(s) for s in (voc_set, yolo_set, folders)] == [len(SUFFIXES)] * 3
    assert all(voc_set[i].image.shape == yolo_set[i].image.shape == (40, 60, 3) for i in range(len(SUFFIXES)))


def test_pictures_that_cannot_be_read_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "b.jpg")
    for name in ("a.heic", "c.HEIC", "d.gif", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    with caplog.at_level("WARNING", "resdet"):
        assert [path.name for path in find_images(tmp_path)] == ["b.jpg"]
    assert "3 files are pictures that cannot be read (.gif, .heic)" in caplog.text
    assert len(caplog.records) == 1


def test_a_pipe_is_no_image_and_a_broken_link_is_named_by_its_reader(tmp_path: Path) -> None:
    write(tmp_path / "sub/a.jpg")
    os.mkfifo(tmp_path / "sub/b.jpg")  # to open it would wait for a writer
    (tmp_path / "c.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "d.jpg").symlink_to(tmp_path / "sub/a.jpg")
    (tmp_path / "sub/above").symlink_to(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == ["c.jpg", "d.jpg", "sub/a.jpg"]


def test_of_equal_names_the_first_suffix_is_taken_and_the_other_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "sub/a.png")
    write(tmp_path / "sub/a.jpg")
    with caplog.at_level("WARNING", "resdet"):
        assert images_by_name(tmp_path) == {"sub/a": tmp_path / "sub/a.jpg"}
    assert "1 images differ from another only in their suffix" in caplog.text


@pytest.mark.parametrize(("path", "hidden"), [("a/b.jpg", False), ("./a.jpg", False), ("a/.b/c.jpg", True)])
def test_hidden_folders_hide_what_is_in_them(path: str, hidden: bool) -> None:
    assert is_hidden(PurePath(path)) == hidden


@pytest.mark.parametrize(
    ("name", "below"),
    [("1.jpg", "1.jpg"), (r"sub\1.jpg", "sub/1.jpg"), ("./sub/1.jpg", "sub/1.jpg"), ("sub/../1.jpg", "1.jpg")],
)
def test_names_are_taken_as_tools_write_them(tmp_path: Path, name: str, below: str) -> None:
    assert resolve_image(tmp_path, name, "x.json") == tmp_path / below


def test_absolute_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    assert resolve_image(Path("photos"), str(tmp_path / "1.jpg"), "x.json") == tmp_path / "1.jpg"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../1.jpg", r"'../1.jpg' is not below"),
        ("sub/../../1.jpg", r"is not below"),
        ("", "cannot be the name"),
        ("a\0b.jpg", "cannot be the name"),
        ("\ud800.jpg", "cannot be the name"),
        (r"C:\photos\1.jpg", "a path of a Windows computer"),
    ],
)
def test_other_names_are_refused_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"x.json: .*{reason}"):
        resolve_image(tmp_path, name, "x.json")


def test_missing_images_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    there = write(tmp_path / "a.jpg")
    gone = [tmp_path / "b.jpg", tmp_path / "nowhere/c.jpg", tmp_path / ("d" * 300 + ".jpg")]
    assert missing_images([there, *gone]) == gone
    require_images([there], "list.txt")
    with pytest.raises(UserError, match=r"b.jpg: no such image, but it is listed in list.txt \(3 of 4 are missing\)"):
        require_images([there, *gone], "list.txt")


def test_a_folder_is_found_in_another_case_if_there_is_none_of_its_name(tmp_path: Path) -> None:
    assert folder_named(tmp_path, "images") == tmp_path / "images"  # which messages name
    assert folder_named(tmp_path / "gone", "images") == tmp_path / "gone/images"
    (tmp_path / "Images").write_text("a file")
    assert folder_named(tmp_path, "images") == tmp_path / "images"
    (tmp_path / "IMAGES").mkdir()
    assert folder_named(tmp_path, "images") == tmp_path / "IMAGES"
    (tmp_path / "images").mkdir()
    assert folder_named(tmp_path, "images") == tmp_path / "images"
