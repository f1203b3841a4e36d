"""VOC as tools write it: ids with blanks and folders, flags, namespaces, layouts without lists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.voc import SIZE_XML, object_xml, read_one, write_image, write_voc_xml
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.voc_files import read_image_set
from resdet.errors import UserError
from resdet.inspection.voc import check_voc

CAT = SIZE_XML + object_xml("cat", (1, 1, 9, 9))


def ids_of(root: Path, lines: str, annotated: bool = True) -> list[str]:
    (root / "VOC2007/ImageSets/Main/trainval.txt").write_text(lines)
    return VOCDataset(root, [("2007", "trainval")], ["cat"], annotated=annotated).table.ids.tolist()


def test_ids_may_have_blanks_and_brackets(tmp_path: Path) -> None:
    write_voc_xml(tmp_path, {"img 1": CAT, "img (2)": CAT, "b": CAT, "img": CAT})
    assert ids_of(tmp_path, "img 1\nimg (2)\nb\n") == ["img 1", "img (2)", "b"]
    assert ids_of(tmp_path, "img 1\n") == ["img 1"]  # not img.jpg with the flag 1
    assert ids_of(tmp_path, "b 1\nimg -1\n") == ["b"]  # a list of one class


def test_an_id_with_a_blank_never_reads_another_image(tmp_path: Path) -> None:
    folder = write_voc_xml(tmp_path, {"img 1": CAT, "b": CAT, "img": CAT})
    (folder / "JPEGImages/img 1.jpg").unlink()
    for lines in ("img 1\nb\n", "img 1\n"):
        with pytest.raises(UserError, match=r"img 1.jpg: no such image"):
            ids_of(tmp_path, lines)
    (folder / "Annotations/img 1.xml").unlink()
    with pytest.raises(UserError, match=r"img 1.jpg: no such image"):
        ids_of(tmp_path, "img 1\nb\n")


def test_ids_may_have_folders_backslashes_and_suffixes(tmp_path: Path) -> None:
    folder = write_voc_xml(tmp_path, {"b": CAT})
    write_image(folder / "JPEGImages/sub/a.jpg")
    (folder / "Annotations/sub").mkdir()
    (folder / "Annotations/sub/a.xml").write_text(f"<annotation>{CAT}</annotation>")
    assert ids_of(tmp_path, "sub/a\nb.jpg\n") == ["sub/a", "b"]
    assert ids_of(tmp_path, "sub\\a\nJPEGImages/b.jpg\n") == ["sub/a", "b"]


def test_an_id_above_the_folder_of_images_is_refused_with_the_reason(tmp_path: Path) -> None:
    write_voc_xml(tmp_path, {"b": CAT})
    with pytest.raises(UserError, match=r"'../../b' is not below"):
        ids_of(tmp_path, "../../b\n")


@pytest.mark.parametrize("text", ["Unspecified", "False", "false", "no", "", "0", "0.0"])
def test_flags_that_mean_no(tmp_path: Path, text: str) -> None:
    body = SIZE_XML + object_xml("cat", (1, 1, 9, 9), f"<difficult>{text}</difficult>")
    assert read_one(tmp_path, body).table.difficult.tolist() == [False]


@pytest.mark.parametrize("text", ["true", "True", "yes", "1", "1.0"])
def test_flags_that_mean_yes(tmp_path: Path, text: str) -> None:
    body = SIZE_XML + object_xml("cat", (1, 1, 9, 9), f"<difficult>{text}</difficult>")
    assert read_one(tmp_path, body).table.difficult.tolist() == [True]


def test_a_namespace_and_capitals_hide_no_objects(tmp_path: Path) -> None:
    folder = write_voc_xml(tmp_path, {"a": CAT})
    text = (folder / "Annotations/a.xml").read_text().replace("<annotation>", '<annotation xmlns="http://x.org/voc">')
    (folder / "Annotations/a.xml").write_text(text.replace("object>", "Object>"))
    table = VOCDataset(tmp_path, [("2007", "trainval")]).table
    assert table.boxes.tolist() == [[0, 0, 9, 9]]
    assert table.sizes.tolist() == [[40, 60]]


def test_another_kind_of_xml_is_refused(tmp_path: Path) -> None:
    folder = write_voc_xml(tmp_path, {"a": CAT})
    (folder / "Annotations/a.xml").write_text("<annotations><folder/></annotations>")
    with pytest.raises(UserError, match="begins with <annotations>, not with VOC's <annotation>"):
        VOCDataset(tmp_path, [("2007", "trainval")])


@pytest.mark.parametrize("size", ["-1", "1e300", "9" * 400, "wide", "2147483648"])
def test_a_size_that_no_image_has_is_read_from_the_image(tmp_path: Path, size: str) -> None:
    body = f"<size><width>{size}</width><height>{size}</height></size>" + object_xml("cat", (1, 1, 9, 9))
    assert read_one(tmp_path, body).table.sizes.tolist() == [[40, 60]]


def test_repeated_objects_and_images_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cats = object_xml("cat", (1, 1, 9, 9)) * 3 + object_xml("dog", (1, 1, 9, 9))
    write_voc_xml(tmp_path, {"a": CAT, "b": SIZE_XML + cats})
    with caplog.at_level("WARNING", "resdet"):
        table = VOCDataset(tmp_path, [("2007", "trainval")]).table
    assert len(table.labels) == 5  # kept: VOC's evaluation counts them
    assert "2 objects repeat another of their image (first: b)" in caplog.text


def test_classes_that_cannot_be_inferred_are_an_error(tmp_path: Path) -> None:
    write_voc_xml(tmp_path, {"a": SIZE_XML})
    with pytest.raises(UserError, match="no annotation has an object that tells the classes; annotate some"):
        VOCDataset(tmp_path, [("2007", "trainval")], classes=None)


@pytest.mark.parametrize("name", ["x" * 200, "cat\ndog"])
def test_a_class_name_that_cannot_be_one_is_told_with_its_file(tmp_path: Path, name: str) -> None:
    write_voc_xml(tmp_path, {"a": CAT, "b": SIZE_XML + object_xml(name, (1, 1, 9, 9))})
    with pytest.raises(UserError, match=r"Annotations/b\.xml: the class name '.*; (shorten|correct) it"):
        VOCDataset(tmp_path, [("2007", "trainval")], classes=None)


def test_without_a_list_all_xml_files_are_the_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("b", "a"):
        write_image(tmp_path / f"images/{name}.png")
        (tmp_path / "annots").mkdir(exist_ok=True)
        (tmp_path / f"annots/{name}.xml").write_text(f"<annotation>{CAT}</annotation>")
        write_image(tmp_path / f"train/{name}.jpg")
        (tmp_path / f"train/{name}.xml").write_text(f"<annotation>{CAT}</annotation>")
    write_image(tmp_path / "images/bare.png")
    with caplog.at_level("WARNING", "resdet"):
        assert VOCDataset(tmp_path, [("", "*")]).table.ids.tolist() == ["a", "b"]
    assert "1 of 3 images have no xml file and were left out (first: bare)" in caplog.text
    assert VOCDataset(tmp_path, [("train", "*")]).table.ids.tolist() == ["a", "b"]
    (tmp_path / "train/a.jpg").unlink()
    with pytest.raises(UserError, match=r"train/a.jpg: no such image"):
        VOCDataset(tmp_path, [("train", "*")])


def test_an_image_of_a_list_without_its_xml_is_named_with_the_remedy(tmp_path: Path) -> None:
    folder = write_voc_xml(tmp_path, {"a": CAT, "b": CAT})
    (folder / "Annotations/b.xml").unlink()
    message = r"b\.xml: no such file, but its image is in .*trainval\.txt; write one \(without <object>"
    with pytest.raises(UserError, match=message):
        VOCDataset(tmp_path, [("2007", "trainval")])
    problems = [problem.text for problem in check_voc(tmp_path, [("2007", "trainval")], None)]
    assert len(problems) == 1
    assert re.search(message, problems[0])


def test_a_folder_of_the_annotations_can_be_an_image_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train/a", "val/a", "val/b"):
        write_image(tmp_path / f"images/{name}.jpg")
    for name in ("train/a", "val/a"):
        (tmp_path / "annotations" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"annotations/{name}.xml").write_text(f"<annotation>{CAT}</annotation>")
    with caplog.at_level("WARNING", "resdet"):
        assert VOCDataset(tmp_path, [("", "train/*")]).table.ids.tolist() == ["train/a"]
        assert not caplog.records  # val/b is none of its images
        assert VOCDataset(tmp_path, [("", "train/*"), ("", "val/*")]).table.ids.tolist() == ["train/a", "val/a"]
    assert "1 of 2 images have no xml file and were left out (first: val/b)" in caplog.text
    assert not list(check_voc(tmp_path, [("", "val/*")], None))
    with pytest.raises(UserError, match=r"annotations/test: no xml file there"):
        VOCDataset(tmp_path, [("", "test/*")])


def test_without_known_images_the_form_of_a_line_decides(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a 1\nb -1\nc 0\n")
    assert read_image_set(tmp_path / "t.txt") == ["a", "c"]
