"""Writing VOC: annotations and comp4 files are read back unchanged."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from helpers.voc import CORNERS, SIZE_XML, object_xml
from resdet.data.detection.comp4 import read_comp4, write_comp4
from resdet.data.detection.voc import VOC_CLASSES
from resdet.data.detection.voc_xml import read_annotation, write_annotation
from resdet.errors import UserError
from resdet.metrics import FlatDetections


def _numbers(path: Path) -> list[float]:
    boxes = ElementTree.parse(path).getroot().findall("object/bndbox")
    return [float(box.findtext(corner) or "nan") for box in boxes for corner in CORNERS]


def test_written_numbers_are_the_numbers_that_were_read(tmp_path: Path) -> None:
    boxes = [(3, 4, 60, 40), (45.70000076293945, 1, 331.2999877929688, 23.1), (0, 0, 500, 7.25)]
    body = (
        SIZE_XML
        + object_xml("cat", boxes[0])
        + "".join(object_xml("tvmonitor", b, "<difficult>1</difficult>") for b in boxes)
    )
    (tmp_path / "a.xml").write_text(f"<annotation><filename>a &amp; b.jpg</filename>{body}</annotation>")
    annotation = read_annotation(tmp_path / "a.xml", VOC_CLASSES)
    write_annotation(tmp_path / "b.xml", annotation, VOC_CLASSES)
    assert (
        _numbers(tmp_path / "b.xml")
        == _numbers(tmp_path / "a.xml")
        == [float(v) for b in [boxes[0], *boxes] for v in b]
    )
    assert "<xmin>3</xmin>" in (tmp_path / "b.xml").read_text()
    again = read_annotation(tmp_path / "b.xml", VOC_CLASSES)
    assert (again.path, again.size) == (annotation.path, annotation.size) == ("a & b.jpg", (40, 60))
    assert again.labels.tolist() == annotation.labels.tolist()
    assert again.difficult.tolist() == [False, True, True, True]


def test_comp4_gives_float32_detections_back_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 500, (200, 2))
    box = np.concatenate([corner, corner + rng.uniform(1, 300, (200, 2))], axis=1).astype(np.float32)
    box[:20, :2] = rng.uniform(0, 1e-3, (20, 2))
    box[20:40, :2] = 0
    written = FlatDetections(rng.integers(0, 3, 200), rng.integers(0, 3, 200), rng.random(200, np.float32), box)
    classes, ids = ("cat", "dog", "fox", "yak"), ["000001", "2008_7", "x"]
    write_comp4(tmp_path / "results", "test", classes, ids, written)
    found = read_comp4(tmp_path / "results", "test", classes, ids)
    order = np.argsort(written.label, kind="stable")
    np.testing.assert_array_equal(found.label, written.label[order])
    np.testing.assert_array_equal(found.image, written.image[order])
    np.testing.assert_array_equal(found.score.astype(np.float32), written.score[order])
    np.testing.assert_array_equal(found.box.astype(np.float32), written.box[order])
    assert (tmp_path / "results" / "comp4_det_test_yak.txt").read_text() == ""


def test_comp4_lines_are_one_based_and_inclusive(tmp_path: Path) -> None:
    one = FlatDetections(np.array([0]), np.array([0]), np.array([0.5]), np.array([[0.0, 9.0, 60.0, 40.0]]))
    write_comp4(tmp_path, "val", ("cat",), ["000001"], one)
    assert (tmp_path / "comp4_det_val_cat.txt").read_text() == "000001 0.5 1.0 10.0 60.0 40.0\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("000001 0.5 1 2 3", "cat.txt:2"),
        ("000001 0.5 1 2 3 x", "cat.txt:2"),
        ("000001 nan 1 2 3 4", "cat.txt:2"),
        ("000002 0.5 1 2 3 4", "cat.txt:2: image '000002' is not in the image set"),
    ],
)
def test_a_bad_comp4_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "comp4_det_test_cat.txt").write_text(f"000001 0.5 1 2 3 4\n{line}\n")
    with pytest.raises(UserError, match=message):
        read_comp4(tmp_path, "test", ("cat",), ["000001"])


def test_a_missing_comp4_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"comp4_det_test_cat\.txt: no detections of class 'cat'"):
        read_comp4(tmp_path, "test", ("cat",), ["000001"])


@pytest.mark.shared
def test_fruit_annotations_are_written_with_the_numbers_they_were_read_with(fruit: Path, tmp_path: Path) -> None:
    files = sorted((fruit / "VOCfruit" / "Annotations").glob("*.xml"))
    assert len(files) == 300
    for path in files:
        classes = ("apple", "banana", "orange")
        write_annotation(tmp_path / "again.xml", read_annotation(path, classes), classes)
        assert _numbers(tmp_path / "again.xml") == _numbers(path)


def test_classes_and_ids_with_any_characters_are_written_and_read_back(tmp_path: Path) -> None:
    classes, ids = ("w/o helmet", "100%", "w%2Fo helmet", "a\\b"), ["img 1", "sub/img (2)", "img"]
    written = FlatDetections(np.arange(4) % 3, np.arange(4), np.full(4, 0.5), np.tile([1.0, 2, 30, 40], (4, 1)))
    write_comp4(tmp_path / "results", "test", classes, ids, written)
    assert sorted(p.name for p in (tmp_path / "results").iterdir())[-1] == "comp4_det_test_w%2Fo helmet.txt"
    found = read_comp4(tmp_path / "results", "test", classes, ids)
    assert (found.image.tolist(), found.label.tolist()) == ([0, 1, 2, 0], [0, 1, 2, 3])
