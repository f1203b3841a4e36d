"""Keys that an object of JSON has twice: JSON readers keep the last, and with it half of a merged file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.coco import instances, write
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.coco_results import read_results
from resdet.errors import UserError


def annotations_with(old: str, new: str, folder: Path) -> Path:
    """The root of a small set, in whose file one text is replaced by another."""
    root = write(folder, instances())
    file = root / "annotations" / "instances_val.json"
    text = json.dumps(instances())
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return root


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('{"images": [', '{"images": [], "images": [', "the file has 'images' twice"),
        ('{"images": [', '{"im\\u0061ges" : [],\n "images": [', "the file has 'images' twice"),
        ('{"images": [', '{"info": 1, "info": {"a": NaN}, "images": [], "images": [', "an object has 'images' twice"),
        ('"bbox":', '"bbox": [0, 0, 1, 1], "bbox":', r"annotations\[0\] has 'bbox' twice"),
        ('"file_name":', '"file_name": "b.jpg", "file_name":', r"images\[0\] has 'file_name' twice"),
        ('"name":', '"name": "cat", "name":', r"categories\[0\] has 'name' twice"),
    ],
)
def test_a_key_that_annotations_have_twice_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    root = annotations_with(old, new, tmp_path)
    with pytest.raises(UserError, match=rf"instances_val\.json: {message}"):
        COCODataset(root, ["val"])


@pytest.mark.parametrize(
    "extra",
    [
        '"attributes": {"id": 1, "bbox": 2}, ',
        '"attributes": {"a": 1, "a": 2}, ',
        '"caption": "\\"bbox\\": \\"bbox\\":", ',
    ],
)
def test_what_is_in_a_record_is_not_taken_for_its_own_key(extra: str, tmp_path: Path) -> None:
    root = annotations_with('"bbox":', f'{extra}"bbox":', tmp_path)
    assert len(COCODataset(root, ["val"])) == len(COCODataset(write(tmp_path / "same", instances()), ["val"]))


def test_a_key_that_a_result_has_twice_is_named(tmp_path: Path) -> None:
    dataset = COCODataset(write(tmp_path, instances()), ["val"])
    ids = f'"image_id": {dataset.image_numbers[0]}, "category_id": {dataset.category_ids[0]}'
    whole = f'{{{ids}, "bbox": [1, 2, 3, 4], "score": 0.5}}'
    twice = f'{{{ids}, "bbox": [1, 2, 3, 4], "score": 0.5, "score": 0.9}}'
    file = tmp_path / "results.json"
    file.write_text(f"[{whole}, {twice}]")
    with pytest.raises(UserError, match=r"results\.json: results\[1\] has 'score' twice"):
        read_results(file, dataset)
    file.write_text(f"[{whole}, {whole}]")
    assert len(read_results(file, dataset).score) == 2
