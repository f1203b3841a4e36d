"""Two names of a data set that lead to one file are refused: its photograph would get the boxes of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.commands import call, inspect_data
from helpers.voc import write_image
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.yolo import YOLODataset
from resdet.errors import UserError
from resdet.inspection.coco import check_coco


def coco(root: Path, *names: str) -> Path:
    write_image(root / "images/0001.jpg")
    images = [{"id": i, "file_name": name, "width": 60, "height": 40} for i, name in enumerate(names)]
    objects = [{"id": i, "image_id": i, "category_id": 1, "bbox": [i, 1, 9, 9], "area": 81} for i in range(len(names))]
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
    (root / "labels.json").write_text(json.dumps(content))
    return root


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
