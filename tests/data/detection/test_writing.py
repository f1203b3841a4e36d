"""Data sets that `write_annotations` writes are read back, whatever the images are called."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.disks import small_disk
from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.writing import AnnotatedImage, write_annotations
from resdet.data.detection.yolo import YOLODataset

CLASSES = ("apple", "pear")
PLAIN = ["a.jpg", "a.png.jpg", "b c.jpg", "sub/é 写真.jpg", "img -1.jpg", "%20a.jpg", "back\\slash.jpg"]
NOT_UTF8, LINES = "la\udce9tin.jpg", "new\nline.jpg"
BLANKS = [" before.jpg", "behind .jpg", "\u3000wide.jpg"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")


def annotated(root: Path, names: list[str]) -> list[AnnotatedImage]:
    """Images of different brightness, with a box whose left side is the image's number."""
    images = []
    for number, name in enumerate(names, 1):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(cv2.imencode(".jpg", np.full((30, 40, 3), 10 * number, np.uint8))[1].tobytes())
        images.append(AnnotatedImage(path, name, (30, 40), [(number, 1, 30, 20)], [number % 2]))
    return images


def read(form: str, folder: Path) -> DetectionDataset:
    if form == "voc":
        return VOCDataset(folder, [("", "all")], classes=CLASSES)
    if form == "coco":
        return COCODataset(folder, [("images", "annotations.json")])
    return YOLODataset(folder, ".")


def test_a_picture_that_cannot_be_copied_leaves_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError("this file system has no links")

    monkeypatch.setattr(os, "symlink", no_links)  # of the file systems at hand all have
    whole, *_ = annotated(tmp_path / "photos", ["a.jpg"])
    write_annotations("yolo", [whole], CLASSES, tmp_path / "yolo")
    assert (tmp_path / "yolo/images/a.jpg").read_bytes() == whole.path.read_bytes()
    large = tmp_path / "photos/b.jpg"
    large.write_bytes(bytes(100_000))
    failing = AnnotatedImage(large, "b.jpg", (30, 40), [], [])
    with small_disk(50_000), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        write_annotations("yolo", [failing], CLASSES, tmp_path / "yolo")
    assert sorted(path.name for path in (tmp_path / "yolo/images").iterdir()) == ["a.jpg"]


@pytest.mark.parametrize(
    ("form", "left_out"),
    [("voc", [NOT_UTF8, LINES, "tab\t.jpg", *BLANKS]), ("coco", [NOT_UTF8, LINES, "tab\t.jpg"]), ("yolo", [])],
)
def test_images_whose_names_a_format_cannot_hold_are_named_and_the_others_read_back(
    form: str, left_out: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = annotated(tmp_path / "photos", [*PLAIN, NOT_UTF8, LINES, "tab\t.jpg", *BLANKS])
    with caplog.at_level("WARNING", "resdet"):
        write_annotations(form, images, CLASSES, tmp_path / form)
    assert len(caplog.records) == bool(left_out)
    assert all(repr(name) in caplog.text for name in left_out)
    dataset = read(form, tmp_path / form)
    expected = {os.path.realpath(image.path): image for image in images if image.name not in left_out}
    assert len(dataset) == len(expected)
    for i, path in enumerate(dataset.table.paths.tolist()):
        image, sample = expected.pop(os.path.realpath(path)), dataset[i]
        assert sample.labels.tolist() == image.labels
        np.testing.assert_allclose(sample.boxes, image.boxes, atol=1e-3)
    assert not expected
