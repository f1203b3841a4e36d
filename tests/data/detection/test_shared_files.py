"""Names that lead to one file: within a set they are refused, and told where one set is trained on, one tested on."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from helpers.commands import call, inspect_data
from helpers.voc import SIZE_XML, object_xml, write_image
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.yolo import YOLODataset
from resdet.errors import UserError
from resdet.inspection.coco import check_coco
from resdet.inspection.voc import check_voc
from resdet.recipes.detection.new_config import Trunk, new_config

CAT = f"<annotation>{SIZE_XML}{object_xml('cat', (1, 1, 9, 9))}</annotation>"


def coco(root: Path, *names: str) -> Path:
    write_image(root / "images/0001.jpg")
    write_coco(root / "labels.json", *names)
    return root


def write_coco(path: Path, *names: str) -> None:
    images = [{"id": i, "file_name": name, "width": 60, "height": 40} for i, name in enumerate(names)]
    objects = [{"id": i, "image_id": i, "category_id": 1, "bbox": [i, 1, 9, 9], "area": 81} for i in range(len(names))]
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
    path.write_text(json.dumps(content))


PAIRS = [
    ("cam1/0001.jpg", "cam2/0001.jpg"),
    ("0001.jpg", "cam2/0001.jpg"),
    ("/home/x/cam1/0001.jpg", "/home/x/cam2/0001.jpg"),
    ("D:\\cam1\\0001.jpg", "D:\\cam2\\0001.jpg"),
    ("https://example.org/1/0001.jpg", "https://example.org/2/0001.jpg"),
]


@pytest.mark.parametrize("names", PAIRS)
def test_names_with_missing_folders_must_not_lead_to_one_file(tmp_path: Path, names: tuple[str, str]) -> None:
    root = coco(tmp_path, *names)
    message = "labels.json: .*000.*and .*000.* are both found as .*images/0001.jpg; put the images into the folders"
    with pytest.raises(UserError, match=message) as caught:
        COCODataset(root, [("images", "labels.json")])
    assert all(repr(name) in str(caught.value) for name in names)
    problems = [problem for problem in check_coco(root, [("images", "labels.json")]) if problem.refused]
    assert ["are both found as" in problem.text for problem in problems] == [True]


def test_names_of_two_files_must_not_lead_to_one_either(tmp_path: Path) -> None:
    coco(tmp_path, "cam1/0001.jpg")
    first = json.loads((tmp_path / "labels.json").read_text())
    second = {**first, "images": [{**first["images"][0], "id": 1, "file_name": "cam2/0001.jpg"}], "annotations": []}
    (tmp_path / "more.json").write_text(json.dumps(second))
    with pytest.raises(UserError, match="are both found as"):
        COCODataset(tmp_path, [("images", "labels.json"), ("images", "more.json")])


def test_fix_leaves_names_that_lead_to_one_file_to_the_user(tmp_path: Path) -> None:
    root = coco(tmp_path / "data", *PAIRS[0])
    with pytest.raises(SystemExit):
        call(inspect_data, root, "--out", tmp_path / "sheets", "--fix", tmp_path / "fixed")
    changes = (tmp_path / "fixed/changes.txt").read_text()
    assert "image 1: NOT repaired, because 'cam1/0001.jpg' and 'cam2/0001.jpg' are both found as" in changes


@pytest.mark.parametrize("names", [("0001.jpg", "0001.jpg"), ("1/0001.jpg", "1\\0001.jpg"), ("0001.jpg", "./0001.jpg")])
def test_an_image_that_is_listed_twice_is_told(
    tmp_path: Path, names: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert len(COCODataset(coco(tmp_path, *names), [("images", "labels.json")])) == 2
    assert "1 images are listed under another id before" in caplog.text


def test_lines_of_yolos_lists_must_not_lead_to_one_file(tmp_path: Path) -> None:
    write_image(tmp_path / "0001.jpg")
    (tmp_path / "0001.txt").write_text("0 .5 .5 .5 .5\n")
    (tmp_path / "train.txt").write_text("cam1/0001.jpg\ncam2/0001.jpg\n")
    with pytest.raises(UserError, match=r"train\.txt: 'cam1/0001.jpg' and 'cam2/0001.jpg' are both found as"):
        YOLODataset(tmp_path, "train.txt", ["cat"])


def cameras(form: str, root: Path) -> Path:
    """A set train of cam1/0001.jpg and a set val of cam2/0001.jpg, and in each an image of its own."""
    for name, folder in (("train", "cam1"), ("val", "cam2")):
        place = root / (f"images/{name}" if form == "yolo" else "JPEGImages" if form == "voc" else "images")
        files = [f"{folder}/0001", f"{folder}/{name}"]
        for file in files:
            write_image(place / f"{file}.jpg")
            if form != "coco":
                label = f"Annotations/{file}.xml" if form == "voc" else f"labels/{name}/{file}.txt"
                (root / label).parent.mkdir(parents=True, exist_ok=True)
                (root / label).write_text(CAT if form == "voc" else "0 .5 .5 .5 .5\n")
        if form == "coco":
            write_coco(root / f"{name}.json", *(f"{file}.jpg" for file in files))
        if form == "voc":
            (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
            (root / f"ImageSets/Main/{name}.txt").write_text("\n".join(files))
    (root / "classes.txt").write_text("cat\n")
    return root


def doubts(root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What new-config and inspect-data say of images that two sets have."""
    choices = "\n".join(line for line in new_config(root, "mine.py", Trunk()).choices if "trained on as well" in line)
    capsys.readouterr()
    with suppress(SystemExit):
        call(inspect_data, root, "--out", root.parent / "sheets")
    printed = capsys.readouterr().out.splitlines()
    return choices, "\n".join(line for line in printed if "trained on as well" in line)


FORMS = ["coco", "voc", "yolo"]


@pytest.mark.parametrize("form", FORMS)
def test_files_of_one_name_in_two_folders_are_two_images(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doubts(cameras(form, tmp_path / "data"), capsys) == ("", "")


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_two_sets_have_by_two_names_is_told(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = cameras(form, tmp_path / "data")
    first, again = (next(root.rglob(f"cam{i}/0001.jpg")) for i in (1, 2))
    again.unlink()
    again.symlink_to(first)
    for said in doubts(root, capsys):
        assert "1 of the 2 images of val are trained on as well (first: " in said
        assert f"{again}, which is {first})" in said


def test_a_file_that_two_files_of_coco_have_without_their_folders_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "data/images/0001.jpg")
    for name, folder in (("train", "cam1"), ("val", "cam2")):
        write_coco(tmp_path / f"data/{name}.json", f"{folder}/0001.jpg")
    for said in doubts(tmp_path / "data", capsys):
        assert "1 of the 1 images of val are trained on as well (first: " in said


def test_an_id_that_is_of_two_images_is_told_as_such(tmp_path: Path) -> None:
    for name in ("cam1", "cam2"):
        write_image(tmp_path / f"{name}/0001.jpg")
        write_coco(tmp_path / f"{name}.json", "0001.jpg")
        (tmp_path / f"{name}/0001.xml").write_text(CAT)
    with pytest.raises(UserError, match=r"cam2\.json: image 0 is .*cam2/0001\.jpg, but .*cam1/0001\.jpg in .*renumber"):
        COCODataset(tmp_path, [("cam1", "cam1.json"), ("cam2", "cam2.json")])
    with pytest.raises(UserError, match=r"cam2/0001\.xml: another image has the id '0001' \(.*cam1/0001\.xml\)"):
        VOCDataset(tmp_path, [("cam1", "*"), ("cam2", "*")], None)
    problems = list(check_voc(tmp_path, [("cam1", "*"), ("cam2", "*")], None))
    assert [problem.refused for problem in problems if "another image has the id" in problem.text] == [True]
