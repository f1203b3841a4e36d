"""Categories of COCO files become classes by their names: placeholders, absent classes, other ids and orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.coco import instances, write
from resdet.data.detection.coco import COCODataset
from resdet.errors import UserError


def roboflow(*names: str) -> dict[str, Any]:
    """The project's name as category 0, without objects."""
    content = instances()
    content["categories"] = [{"id": 0, "name": "vehicles", "supercategory": "none"}]
    content["categories"] += [{"id": i, "name": n, "supercategory": "vehicles"} for i, n in enumerate(names, 1)]
    for item in content["annotations"]:
        item["category_id"] = min(item["category_id"] // 3, len(names))
    return content


def test_roboflows_empty_parent_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path, roboflow("car", "bus"))
    assert COCODataset(root, ["val"]).classes == ("car", "bus")
    assert "category 0, 'vehicles', has no objects and is left out" in caplog.text
    chosen = COCODataset(root, ["val"], classes=["vehicles", "car", "bus"])
    assert chosen.classes == ("vehicles", "car", "bus")
    assert set(chosen.table.labels) == {1, 2}


def test_a_parent_with_objects_is_a_class(tmp_path: Path) -> None:
    content = roboflow("car", "bus")
    content["annotations"][0]["category_id"] = 0
    assert COCODataset(write(tmp_path, content), ["val"]).classes == ("vehicles", "car", "bus")


def test_a_category_with_the_name_of_another_and_no_objects_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = instances()
    content["categories"].append({"id": 9, "name": content["categories"][0]["name"]})
    COCODataset(write(tmp_path, content), ["val"])
    number, name = (content["categories"][0][key] for key in ("id", "name"))
    assert f"category 9, '{name}', has no objects and is left out: category {number} has its name" in caplog.text


@pytest.mark.parametrize("annotated", [True, False])
def test_roboflows_project_may_have_the_name_of_its_only_class(
    tmp_path: Path, annotated: bool, caplog: pytest.LogCaptureFixture
) -> None:
    root = write(tmp_path, roboflow("vehicles"))
    for classes in (None, ["vehicles"]):
        dataset = COCODataset(root, ["val"], classes=classes, annotated=annotated)
        assert dataset.classes == ("vehicles",)
        assert dataset.category_ids.tolist() == [1]
    assert "category 0, 'vehicles', has no objects" in caplog.text


def test_a_class_may_be_absent_from_a_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = COCODataset(write(tmp_path, instances()), ["val"], classes=["car", "tram", "bus"])
    assert dataset.classes == ("car", "tram", "bus")
    assert set(dataset.table.labels) == {0, 2}
    assert dataset.absent == ("tram",)
    assert "1 of 3 classes have no category there (first: tram)" in caplog.text


def test_a_misspelt_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no category 'buss'; it has car, bus \(did you mean bus\?\)"):
        COCODataset(write(tmp_path, instances()), ["val"], classes=["car", "buss"])
    with pytest.raises(UserError, match="class 'car' is there twice"):
        COCODataset(write(tmp_path, instances()), ["val"], classes=["car", "car"])


def merged(root: Path, categories: list[dict[str, Any]], **options: Any) -> COCODataset:
    """The set with another of the same images and boxes, whose category 7 is bus and whose ids are larger by 1000."""
    other = instances()
    buses = {c["name"]: c["id"] for c in categories}
    for image in other["images"]:
        image["id"] += 1000
    for item in other["annotations"]:
        item["image_id"] += 1000
        item["category_id"] = buses["bus"]
    other["categories"] = categories
    return COCODataset(write(write(root, instances()), other, "more"), ["val", "more"], **options)


def test_merged_sets_may_number_the_same_categories_in_another_order(tmp_path: Path) -> None:
    dataset = merged(tmp_path, [{"id": 7, "name": "car"}, {"id": 3, "name": "bus"}])
    assert dataset.classes == ("car", "bus")
    assert dataset.table.labels.tolist() == [0, 1, 1, 1, 1, 1]


def test_merged_sets_may_lack_a_category(tmp_path: Path) -> None:
    dataset = merged(tmp_path, [{"id": 7, "name": "bus"}])
    assert dataset.classes == ("car", "bus")
    np.testing.assert_array_equal(dataset.table.labels[2:], 1)
    more = merged(tmp_path, [{"id": 7, "name": "bus"}, {"id": 9, "name": "tram"}])
    assert more.classes == ("car", "bus", "tram")
