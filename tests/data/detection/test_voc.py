"""Reading VOC: common flaws of real annotations, and a one-line error for each mistake."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.voc import SIZE_XML, object_xml, read_one, write_image, write_voc_xml
from resdet.data.detection.annotations import Annotation, AnnotationTable
from resdet.data.detection.voc import VOC_CLASSES, VOCDataset
from resdet.data.detection.voc_files import read_image_set
from resdet.data.detection.voc_xml import read_annotation
from resdet.data.images import image_size, read_image
from resdet.errors import UserError

# Reading --------------------------------------------------------------------------------------------------------------


def test_inclusive_pixels_become_continuous(tmp_path: Path) -> None:
    sample = read_one(tmp_path, SIZE_XML + object_xml("cat", (1, 1, 60, 40)) + object_xml("dog", (5, 6, 5, 6)))[0]
    assert sample.boxes.tolist() == [[0, 0, 60, 40], [4, 5, 5, 6]]  # the whole image, and one pixel of area 1
    assert sample.labels.tolist() == [VOC_CLASSES.index("cat"), VOC_CLASSES.index("dog")]
    assert sample.image.shape == (40, 60, 3)
    assert sample.image_id == "a"


def test_an_image_without_objects_is_kept(tmp_path: Path) -> None:
    sample = read_one(tmp_path, SIZE_XML)[0]
    assert sample.boxes.shape == (0, 4)
    assert len(sample.labels) == len(sample.difficult) == len(sample.crowd) == 0


def test_parts_of_a_person_are_not_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></part>"
    dataset = read_one(tmp_path, SIZE_XML + object_xml("person", (2, 3, 20, 30), extra=part))
    assert dataset.table.boxes.tolist() == [[1, 2, 20, 30]]


def test_missing_flags_mean_not_difficult_and_unknown_tags_are_ignored(tmp_path: Path) -> None:
    dataset = read_one(
        tmp_path, f"<odd><x/></odd>{SIZE_XML}" + object_xml("cat", (2, 2, 9, 9), extra="<mood>grim</mood>")
    )
    assert dataset.table.difficult.tolist() == [False]


def test_difficult_objects_are_marked_or_left_out(tmp_path: Path) -> None:
    hard = object_xml("cat", (2, 2, 9, 9), "<difficult>1</difficult>")
    body = SIZE_XML + hard + object_xml("dog", (3, 3, 9, 9))
    assert read_one(tmp_path, body).table.difficult.tolist() == [True, False]
    assert read_one(tmp_path, body, keep_difficult=False).table.labels.tolist() == [VOC_CLASSES.index("dog")]


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_a_missing_size_is_read_from_the_image_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: str
) -> None:
    write_voc_xml(tmp_path, {"a": SIZE_XML, "b": size, "c": size})
    with caplog.at_level(logging.WARNING, "resdet"):
        dataset = VOCDataset(tmp_path, [("2007", "trainval")])
    assert dataset.table.sizes.tolist() == [[40, 60]] * 3
    assert [r.getMessage()[:7] for r in caplog.records] == ["2 of 3 "]
    assert "first: b" in caplog.text


def test_bad_boxes_are_clipped_or_dropped_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    boxes = [(1, 1, 9, 9), (0, 5, 61, 20), (30, 5, 20, 9), (9, 9, 8, 12), (70, 1, 90, 9)]
    with caplog.at_level(logging.WARNING, "resdet"):
        dataset = read_one(tmp_path, SIZE_XML + "".join(object_xml("cat", box) for box in boxes))
    assert dataset.table.boxes.tolist() == [[0, 0, 9, 9], [0, 4, 60, 20]]
    assert len(caplog.records) == 1
    assert "1 boxes extend beyond" in caplog.text
    assert "3 have no area" in caplog.text
    assert "a, object 2" in caplog.text


@pytest.mark.parametrize("suffix", [".jpeg", ".png", ".JPEG", ".JPG"])
def test_the_image_is_found_by_id_whatever_its_suffix(tmp_path: Path, suffix: str) -> None:
    folder = write_voc_xml(tmp_path, {"a": f"<filename>a</filename>{SIZE_XML}"})
    (folder / "JPEGImages" / "a.jpg").unlink()
    write_image(folder / "JPEGImages" / f"a{suffix}")
    assert VOCDataset(tmp_path, [("2007", "trainval")])[0].image.shape == (40, 60, 3)


def test_a_set_without_answers_has_images_and_no_objects(tmp_path: Path) -> None:
    folder = write_voc_xml(tmp_path, {"a": "", "b": ""}, image_set="test")
    (folder / "Annotations" / "a.xml").unlink()
    dataset = VOCDataset(tmp_path, [("2007", "test")], annotated=False)
    assert dataset.table.ids.tolist() == ["a", "b"]
    assert dataset.table.sizes.tolist() == [[40, 60], [40, 60]]
    assert len(dataset[0].boxes) == 0
    with pytest.raises(UserError, match=r"a\.xml: no such file"):
        VOCDataset(tmp_path, [("2007", "test")])


def test_several_splits_are_merged(tmp_path: Path) -> None:
    write_voc_xml(tmp_path, {"000001": SIZE_XML + object_xml("cat", (1, 1, 9, 9))}, "2007")
    write_voc_xml(
        tmp_path, {"2008_000001": SIZE_XML, "2008_000002": SIZE_XML + object_xml("dog", (1, 1, 9, 9))}, "2012"
    )
    table = VOCDataset(tmp_path, [("2007", "trainval"), ("2012", "trainval")]).table
    assert table.ids.tolist() == ["000001", "2008_000001", "2008_000002"]
    assert table.offsets.tolist() == [0, 1, 1, 2]
    assert table.image_of_object().tolist() == [0, 2]


def test_classes_are_inferred_in_sorted_order(tmp_path: Path) -> None:
    dataset = read_one(
        tmp_path, SIZE_XML + object_xml("pear", (1, 1, 9, 9)) + object_xml("fig", (1, 1, 9, 9)), classes=None
    )
    assert dataset.classes == ("fig", "pear")
    assert dataset.table.labels.tolist() == [1, 0]


def test_voc_classes_are_twenty_in_alphabetical_order() -> None:
    assert len(VOC_CLASSES) == 20
    assert sorted(VOC_CLASSES) == list(VOC_CLASSES)


def test_per_class_image_sets_leave_out_images_without_the_class(tmp_path: Path) -> None:
    path = tmp_path / "cat_trainval.txt"
    path.write_text("000005 -1\n000007  1\n\n000009  0\n")
    assert read_image_set(path) == ["000007", "000009"]


# User errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (SIZE_XML + object_xml("unicorn", (1, 1, 9, 9)), ("a.xml", "unicorn", "20 classes")),
        (SIZE_XML + object_xml("cat", ("one", 1, 9, 9)), ("a.xml, object 1", "'one'", "not a number")),
        (SIZE_XML + object_xml("cat", ("nan", 1, 9, 9)), ("a.xml, object 1", "not a number")),
        (SIZE_XML + "<object><name>cat</name></object>", ("a.xml, object 1", "bndbox")),
        (SIZE_XML + object_xml("cat", (1, 1, 9, 9)) + object_xml(" ", (1, 1, 9, 9)), ("a.xml, object 2", "name")),
        (SIZE_XML + "<object>", ("a.xml", "not valid XML")),
    ],
)
def test_a_bad_annotation_is_named(tmp_path: Path, body: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as error:
        read_one(tmp_path, body)
    assert all(part in str(error.value) for part in parts)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_before_parsing(tmp_path: Path, encoding: str) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY lol "lol">]><annotation>&lol;</annotation>'
    (tmp_path / "a.xml").write_bytes(bomb.encode(encoding))
    with pytest.raises(UserError, match="DOCTYPE or ENTITY"):
        read_annotation(tmp_path / "a.xml", VOC_CLASSES)


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = write_voc_xml(tmp_path, {"a": SIZE_XML, "b": SIZE_XML})
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
    write_voc_xml(tmp_path, {"a": SIZE_XML}, image_set="train")
    write_voc_xml(tmp_path, {"a": SIZE_XML, "b": SIZE_XML}, image_set="trainval")
    with pytest.raises(UserError, match="'a' is in the chosen image sets twice"):
        VOCDataset(tmp_path, [("2007", "train"), ("2007", "trainval")])


def test_an_image_of_another_size_than_annotated_is_an_error(tmp_path: Path) -> None:
    dataset = read_one(tmp_path, SIZE_XML)
    write_image(tmp_path / "VOC2007" / "JPEGImages" / "a.jpg", height=60, width=40)
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


# Images and tables ----------------------------------------------------------------------------------------------------


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


def test_negative_indices_count_from_the_end_and_others_are_bounded(tmp_path: Path) -> None:
    write_voc_xml(tmp_path, {"a": SIZE_XML, "b": SIZE_XML})
    dataset = VOCDataset(tmp_path, [("2007", "trainval")])
    assert dataset[-1].image_id == "b"
    assert [sample.image_id for sample in dataset] == ["a", "b"]


# Real photos ----------------------------------------------------------------------------------------------------------


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
