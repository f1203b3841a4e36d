"""VOC files in and out: what real annotations get wrong, the round trips, and one clear line for each mistake."""

from __future__ import annotations

import logging
import pickle
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from resdet.data.detection.annotations import Annotation, AnnotationTable
from resdet.data.detection.voc import (
    VOC_CLASSES,
    VOCDataset,
    read_annotation,
    read_comp4,
    read_image_set,
    write_annotation,
    write_comp4,
)
from resdet.data.images import image_size, read_image
from resdet.errors import UserError
from resdet.metrics import FlatDetections

SIZE = "<size><width>60</width><height>40</height><depth>3</depth></size>"
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _object(name: str, box: tuple, extra: str = "<difficult>0</difficult>") -> str:
    corners = "".join(f"<{c}>{v}</{c}>" for c, v in zip(CORNERS, box, strict=True))
    return f"<object><name>{name}</name>{extra}<bndbox>{corners}</bndbox></object>"


def _write_image(path: Path, height: int = 40, width: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), (200, 100, 30), np.uint8))


def _write_voc(root: Path, images: dict[str, str], year: str = "2007", image_set: str = "trainval") -> Path:
    """A folder in VOC layout. images: what stands between <annotation> and </annotation>, by id."""
    folder = root / f"VOC{year}"
    for name in ("Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for image_id, body in images.items():
        (folder / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{body}</annotation>")
        _write_image(folder / "JPEGImages" / f"{image_id}.jpg")
    (folder / "ImageSets" / "Main" / f"{image_set}.txt").write_text("\n".join(images) + "\n")
    return folder


def _one(root: Path, body: str, **options: object) -> VOCDataset:
    _write_voc(root, {"a": body})
    return VOCDataset(root, [("2007", "trainval")], **options)  # type: ignore[arg-type]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_inclusive_pixels_become_continuous(tmp_path: Path) -> None:
    sample = _one(tmp_path, SIZE + _object("cat", (1, 1, 60, 40)) + _object("dog", (5, 6, 5, 6)))[0]
    assert sample.boxes.tolist() == [[0, 0, 60, 40], [4, 5, 5, 6]]  # the whole image, and one pixel of area 1
    assert sample.labels.tolist() == [VOC_CLASSES.index("cat"), VOC_CLASSES.index("dog")]
    assert sample.image.shape == (40, 60, 3)
    assert sample.image_id == "a"


def test_an_image_without_objects_is_kept(tmp_path: Path) -> None:
    sample = _one(tmp_path, SIZE)[0]
    assert sample.boxes.shape == (0, 4)
    assert len(sample.labels) == len(sample.difficult) == len(sample.crowd) == 0


def test_the_parts_of_a_person_are_not_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></part>"
    dataset = _one(tmp_path, SIZE + _object("person", (2, 3, 20, 30), extra=part))
    assert dataset.table.boxes.tolist() == [[1, 2, 20, 30]]


def test_missing_flags_mean_not_difficult_and_odd_tags_are_passed_over(tmp_path: Path) -> None:
    dataset = _one(tmp_path, f"<odd><x/></odd>{SIZE}" + _object("cat", (2, 2, 9, 9), extra="<mood>grim</mood>"))
    assert dataset.table.difficult.tolist() == [False]


def test_difficult_objects_are_marked_or_left_out(tmp_path: Path) -> None:
    hard = _object("cat", (2, 2, 9, 9), "<difficult>1</difficult>")
    body = SIZE + hard + _object("dog", (3, 3, 9, 9))
    assert _one(tmp_path, body).table.difficult.tolist() == [True, False]
    assert _one(tmp_path, body, keep_difficult=False).table.labels.tolist() == [VOC_CLASSES.index("dog")]


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_a_missing_size_is_read_from_the_image_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: str
) -> None:
    _write_voc(tmp_path, {"a": SIZE, "b": size, "c": size})
    with caplog.at_level(logging.WARNING, "resdet"):
        dataset = VOCDataset(tmp_path, [("2007", "trainval")])
    assert dataset.table.sizes.tolist() == [[40, 60]] * 3
    assert [r.getMessage()[:7] for r in caplog.records] == ["2 of 3 "]
    assert "first: b" in caplog.text


def test_bad_boxes_are_clipped_or_dropped_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    boxes = [(1, 1, 9, 9), (0, 5, 61, 20), (30, 5, 20, 9), (9, 9, 8, 12), (70, 1, 90, 9)]
    with caplog.at_level(logging.WARNING, "resdet"):
        dataset = _one(tmp_path, SIZE + "".join(_object("cat", box) for box in boxes))
    assert dataset.table.boxes.tolist() == [[0, 0, 9, 9], [0, 4, 60, 20]]
    assert len(caplog.records) == 1
    assert "1 boxes reach over" in caplog.text
    assert "3 have no area" in caplog.text
    assert "a, object 2" in caplog.text


@pytest.mark.parametrize("suffix", [".jpeg", ".png", ".JPEG", ".JPG"])
def test_the_image_is_found_by_id_whatever_its_suffix(tmp_path: Path, suffix: str) -> None:
    folder = _write_voc(tmp_path, {"a": f"<filename>a</filename>{SIZE}"})
    (folder / "JPEGImages" / "a.jpg").unlink()
    _write_image(folder / "JPEGImages" / f"a{suffix}")
    assert VOCDataset(tmp_path, [("2007", "trainval")])[0].image.shape == (40, 60, 3)


def test_a_set_without_answers_has_images_and_no_objects(tmp_path: Path) -> None:
    folder = _write_voc(tmp_path, {"a": "", "b": ""}, image_set="test")
    (folder / "Annotations" / "a.xml").unlink()
    dataset = VOCDataset(tmp_path, [("2007", "test")], annotated=False)
    assert dataset.table.ids.tolist() == ["a", "b"]
    assert dataset.table.sizes.tolist() == [[40, 60], [40, 60]]
    assert len(dataset[0].boxes) == 0
    with pytest.raises(UserError, match=r"a\.xml: no such file"):
        VOCDataset(tmp_path, [("2007", "test")])


def test_several_splits_are_united(tmp_path: Path) -> None:
    _write_voc(tmp_path, {"000001": SIZE + _object("cat", (1, 1, 9, 9))}, "2007")
    _write_voc(tmp_path, {"2008_000001": SIZE, "2008_000002": SIZE + _object("dog", (1, 1, 9, 9))}, "2012")
    table = VOCDataset(tmp_path, [("2007", "trainval"), ("2012", "trainval")]).table
    assert table.ids.tolist() == ["000001", "2008_000001", "2008_000002"]
    assert table.offsets.tolist() == [0, 1, 1, 2]
    assert table.image_of_object().tolist() == [0, 2]


def test_classes_are_inferred_in_sorted_order(tmp_path: Path) -> None:
    dataset = _one(tmp_path, SIZE + _object("pear", (1, 1, 9, 9)) + _object("fig", (1, 1, 9, 9)), classes=None)
    assert dataset.classes == ("fig", "pear")
    assert dataset.table.labels.tolist() == [1, 0]


def test_voc_classes_are_twenty_in_alphabetical_order() -> None:
    assert len(VOC_CLASSES) == 20
    assert sorted(VOC_CLASSES) == list(VOC_CLASSES)


def test_per_class_image_sets_leave_out_images_without_the_class(tmp_path: Path) -> None:
    path = tmp_path / "cat_trainval.txt"
    path.write_text("000005 -1\n000007  1\n\n000009  0\n")
    assert read_image_set(path) == ["000007", "000009"]


# --- the user's mistakes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (SIZE + _object("unicorn", (1, 1, 9, 9)), ("a.xml", "unicorn", "20 classes")),
        (SIZE + _object("cat", ("one", 1, 9, 9)), ("a.xml, object 1", "'one'", "not a number")),
        (SIZE + _object("cat", ("nan", 1, 9, 9)), ("a.xml, object 1", "not a number")),
        (SIZE + "<object><name>cat</name></object>", ("a.xml, object 1", "bndbox")),
        (SIZE + _object("cat", (1, 1, 9, 9)) + _object(" ", (1, 1, 9, 9)), ("a.xml, object 2", "name")),
        (SIZE + "<object>", ("a.xml", "not valid XML")),
    ],
)
def test_a_bad_annotation_is_named(tmp_path: Path, body: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as error:
        _one(tmp_path, body)
    assert all(part in str(error.value) for part in parts)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_before_parsing(tmp_path: Path, encoding: str) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY lol "lol">]><annotation>&lol;</annotation>'
    (tmp_path / "a.xml").write_bytes(bomb.encode(encoding))
    with pytest.raises(UserError, match="DOCTYPE or ENTITY"):
        read_annotation(tmp_path / "a.xml", VOC_CLASSES)


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = _write_voc(tmp_path, {"a": SIZE, "b": SIZE})
    with pytest.raises(UserError, match=r"VOC2012: no such folder"):
        VOCDataset(tmp_path, [("2012", "trainval")])
    with pytest.raises(UserError, match=r"val\.txt: no such file"):
        VOCDataset(tmp_path, [("2007", "val")])
    (folder / "Annotations" / "a.xml").unlink()
    with pytest.raises(UserError, match=r"a\.xml: no such file"):
        VOCDataset(tmp_path, [("2007", "trainval")])
    (folder / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(UserError, match=r"a\.jpg: no such image"):
        VOCDataset(tmp_path, [("2007", "trainval")])


def test_an_image_set_must_have_images_and_plain_ids(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("\n000005 -1\n")
    with pytest.raises(UserError, match=r"none\.txt: no image"):
        read_image_set(tmp_path / "none.txt")
    (tmp_path / "spaces.txt").write_text("first\nmy photo\n")
    with pytest.raises(UserError, match=r"spaces\.txt:2"):
        read_image_set(tmp_path / "spaces.txt")


def test_an_id_twice_in_the_union_is_an_error(tmp_path: Path) -> None:
    _write_voc(tmp_path, {"a": SIZE}, image_set="train")
    _write_voc(tmp_path, {"a": SIZE, "b": SIZE}, image_set="trainval")
    with pytest.raises(UserError, match="'a' is in the chosen image sets twice"):
        VOCDataset(tmp_path, [("2007", "train"), ("2007", "trainval")])


def test_an_image_of_another_size_than_annotated_is_an_error(tmp_path: Path) -> None:
    dataset = _one(tmp_path, SIZE)
    _write_image(tmp_path / "VOC2007" / "JPEGImages" / "a.jpg", height=60, width=40)
    with pytest.raises(UserError, match=r"a\.jpg: the image is 40x60 but its annotation says 60x40"):
        dataset[0]


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    for read in (read_image, image_size):
        with pytest.raises(UserError, match=r"gone\.jpg: no such image"):
            read(tmp_path / "gone.jpg")
        for content in (b"", b"no image"):
            (tmp_path / "bad.jpg").write_bytes(content)
            with pytest.raises(UserError, match=r"bad\.jpg"):
                read(tmp_path / "bad.jpg")


# --- images and tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_gives_the_size_of_the_decoded_image_under_every_orientation(
    tmp_path: Path, orientation: int
) -> None:
    from PIL import Image

    image = Image.new("RGB", (60, 40), (250, 120, 10))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.jpg", exif=exif)
    pixels = read_image(tmp_path / "turned.jpg")
    assert image_size(tmp_path / "turned.jpg") == pixels.shape[:2] == ((40, 60) if orientation < 5 else (60, 40))
    np.testing.assert_allclose(pixels[20, 20], (250, 120, 10), atol=4)  # RGB, not BGR


def test_gray_images_have_three_channels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((4, 5), 7, np.uint8))
    assert read_image(tmp_path / "gray.png").tolist() == np.full((4, 5, 3), 7).tolist()


def test_a_table_survives_pickling_and_holds_no_python_objects() -> None:
    table = AnnotationTable([Annotation("x.jpg", "x", (40, 60), np.ones((2, 4)), np.array([1, 0]))])
    assert all(array.dtype != object for array in vars(table).values())
    assert pickle.loads(pickle.dumps(table)).boxes.tolist() == table.boxes.tolist()
    assert table.aspect_ratios().tolist() == [1.5]


def test_a_table_of_no_images_has_the_right_shapes() -> None:
    table = AnnotationTable([])
    assert (len(table), table.boxes.shape, table.offsets.tolist()) == (0, (0, 4), [0])


def test_indices_count_from_the_end_and_end_somewhere(tmp_path: Path) -> None:
    _write_voc(tmp_path, {"a": SIZE, "b": SIZE})
    dataset = VOCDataset(tmp_path, [("2007", "trainval")])
    assert dataset[-1].image_id == "b"
    assert [sample.image_id for sample in dataset] == ["a", "b"]


# --- writing ----------------------------------------------------------------------------------------------------------


def _numbers(path: Path) -> list[float]:
    boxes = ElementTree.parse(path).getroot().findall("object/bndbox")
    return [float(box.findtext(corner) or "nan") for box in boxes for corner in CORNERS]


def test_written_numbers_are_the_numbers_that_were_read(tmp_path: Path) -> None:
    boxes = [(3, 4, 60, 40), (45.70000076293945, 1, 331.2999877929688, 23.1), (0, 0, 500, 7.25)]
    body = SIZE + _object("cat", boxes[0]) + "".join(_object("tvmonitor", b, "<difficult>1</difficult>") for b in boxes)
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


# --- real photos ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    root = tmp_path_factory.mktemp("fruit")
    with tarfile.open(shared / "data" / "fruit.tar") as tar:
        tar.extractall(root, filter="data")
    return root / "VOCdevkit"


@pytest.mark.shared
def test_fruit_is_read_whole_and_its_37_empty_headers_are_completed(
    fruit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "resdet"):
        dataset = VOCDataset(fruit, [("fruit", "trainval"), ("fruit", "test")], classes=None)
    assert dataset.classes == ("apple", "banana", "orange")
    assert (len(dataset), len(dataset.table.labels)) == (300, 582)
    assert np.bincount(dataset.table.labels).tolist() == [191, 209, 182]
    assert [record.getMessage()[:9] for record in caplog.records] == ["37 of 300"]
    for index in range(0, 300, 10):
        dataset[index]


@pytest.mark.shared
def test_fruit_annotations_are_written_with_the_numbers_they_were_read_with(fruit: Path, tmp_path: Path) -> None:
    files = sorted((fruit / "VOCfruit" / "Annotations").glob("*.xml"))
    assert len(files) == 300
    for path in files:
        classes = ("apple", "banana", "orange")
        write_annotation(tmp_path / "again.xml", read_annotation(path, classes), classes)
        assert _numbers(tmp_path / "again.xml") == _numbers(path)
