"""The cache of large COCO files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from helpers.coco import instances, write
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.coco_file import read_coco_file


def test_a_cache_gives_the_same_annotations_and_is_renewed_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, instances()) / "annotations" / "instances_val.json"
    first = read_coco_file(path, cached_from=0)
    cache = path.with_name("instances_val.resdet.npz")
    assert cache.is_file()
    second = read_coco_file(path)
    for name, array in vars(first).items():
        np.testing.assert_array_equal(array, getattr(second, name), err_msg=name)
    cache.write_bytes(cache.read_bytes()[:300])  # cut short: the JSON is read again
    assert read_coco_file(path).category_names.tolist() == ["car", "bus"]
    read_coco_file(path, cached_from=0)
    changed = instances()
    changed["categories"][0]["name"] = "tram"
    path.write_text(json.dumps(changed))
    assert read_coco_file(path).category_names.tolist() == ["car", "tram"]


def test_a_cached_image_list_is_not_used_for_an_annotated_dataset(tmp_path: Path) -> None:
    path = write(tmp_path, instances()) / "annotations" / "instances_val.json"
    for annotated, objects in ((False, 0), (True, 4), (False, 0), (True, 4)):
        assert len(read_coco_file(path, annotated, cached_from=0).boxes) == objects


def test_a_damaged_cache_is_rebuilt(tmp_path: Path) -> None:
    path = write(tmp_path, instances()) / "annotations" / "instances_val.json"
    read_coco_file(path, cached_from=0)
    cache = path.with_name("instances_val.resdet.npz")
    whole = cache.read_bytes()
    for content in (b"", whole[:10] + b"\xff" * 8 + whole[18:], whole[: len(whole) // 2]):
        cache.write_bytes(content)
        assert len(read_coco_file(path).boxes) == 4
    assert sorted(p.name for p in path.parent.iterdir()) == ["instances_val.json", "instances_val.resdet.npz"]


def test_small_files_are_not_cached(tmp_path: Path) -> None:
    root = write(tmp_path, instances())
    COCODataset(root, ["val"])
    assert [p.name for p in (root / "annotations").iterdir()] == ["instances_val.json"]


def test_a_cache_keeps_ids_that_are_texts_or_large(tmp_path: Path) -> None:
    content = instances() | {"annotations": []}
    for image, number in zip(content["images"], ("007", 2**70, 3), strict=True):
        image["id"] = number
    path = write(tmp_path, content) / "annotations" / "instances_val.json"
    read_coco_file(path, cached_from=0)
    assert read_coco_file(path).image_ids.tolist() == ["007", 2**70, 3]
