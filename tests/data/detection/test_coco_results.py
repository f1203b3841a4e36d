"""COCO results: written, read back and scored as pycocotools does; what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from helpers.coco import instances, write
from resdet.data.detection.coco import COCODataset, instances_of
from resdet.data.detection.coco_results import read_results, write_results
from resdet.data.detection.splitting import subset
from resdet.errors import UserError
from resdet.metrics.flat import FlatDetections


def test_results_come_back_from_pycocotools(tmp_path: Path) -> None:
    dataset = COCODataset(write(tmp_path, instances()), ["val"])
    box = np.array([[1.234, 2, 11, 20], [0, 0.5, 40, 30]], np.float32)
    detections = FlatDetections(np.array([1, 0]), np.array([1, 0]), np.array([0.75, 0.5], np.float32), box)
    write_results(tmp_path / "results.json", dataset, detections)
    assert json.loads((tmp_path / "results.json").read_text()) == [
        {"image_id": 5, "category_id": 7, "bbox": [1.23, 2.0, 9.77, 18.0], "score": 0.75},
        {"image_id": 12, "category_id": 3, "bbox": [0.0, 0.5, 40.0, 29.5], "score": 0.5},
    ]
    back = read_results(tmp_path / "results.json", dataset)
    assert (back.image.tolist(), back.label.tolist()) == ([1, 0], [1, 0])
    np.testing.assert_allclose(back.box, box, atol=0.011)
    loaded = COCO(str(dataset.files[0])).loadRes(str(tmp_path / "results.json"))
    assert sorted(loaded.anns[i]["image_id"] for i in loaded.anns) == [5, 12]
    nothing = FlatDetections(np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros((0, 4)))
    write_results(tmp_path / "none.json", dataset, nothing)
    assert json.loads((tmp_path / "none.json").read_text()) == []
    assert len(read_results(tmp_path / "none.json", dataset)) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}', "not valid JSON"),
        ('{"image_id": 5}', "not a list"),
        ('[{"image_id": 6, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}]', "result 1 is of image 6, which"),
        ('[{"image_id": [5], "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}]', "result 1 is of image"),
        ('[{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', "result 1 is of category 1, which"),
        ('[{"image_id": 5, "category_id": 7, "bbox": [1, 2, 3], "score": 0.5}]', "result 1 is not image_id"),
        ('[{"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4]}]', "result 1 is not image_id"),
    ],
)
def test_results_that_do_not_match_the_annotations_are_named(tmp_path: Path, text: str, message: str) -> None:
    dataset = COCODataset(write(tmp_path, instances()), ["val"])
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=f"results.json.*{message}"):
        read_results(tmp_path / "results.json", dataset)


def test_results_written_as_corners_are_refused(tmp_path: Path) -> None:
    """Scored as they are, they would only look like a bad detector's; images are 40x30."""
    dataset = COCODataset(write(tmp_path, instances()), ["val"])

    def read(*boxes: list[float]) -> int:
        records = [{"image_id": 5, "category_id": 7, "bbox": list(box), "score": 0.5} for box in boxes]
        (tmp_path / "results.json").write_text(json.dumps(records))
        return len(read_results(tmp_path / "results.json", dataset))

    with pytest.raises(UserError, match=r"results\.json: 5 of 5 boxes extend beyond .* if they are x1, y1, x2, y2"):
        read(*([20, 15, 38 - i, 29 - i] for i in range(5)))
    assert read(*([20, 15, 30 + i, 5] for i in range(5))) == 5  # beyond the image either way
    assert read(*([-9, 3, 20 + i, 20] for i in range(5))) == 5
    assert read(*([2.5, 1.5 + i / 5, 39, 29.5] for i in range(5))) == 5  # not clipped, as detectors may leave them


def test_ids_of_results_match_in_every_spelling(tmp_path: Path) -> None:
    dataset = COCODataset(write(tmp_path, instances()), ["val"])
    rows = [
        {"image_id": image, "category_id": category, "bbox": ["1", 2, 3.5, "4e0"], "score": "0.5"}
        for image, category in ((5, 7), ("5", "7"), (5.0, 7.0), ("5.0", "007"))
    ]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    found = read_results(tmp_path / "results.json", dataset)
    assert (found.image.tolist(), found.label.tolist()) == ([1] * 4, [1] * 4)
    assert found.box.tolist() == [[1, 2, 4.5, 6]] * 4
    assert found.score.tolist() == [0.5] * 4


def test_ids_are_written_as_the_annotations_have_them(tmp_path: Path) -> None:
    content = instances()
    for image in content["images"]:
        image["id"] = f"{image['id']:04}"
    dataset = COCODataset(write(tmp_path, content), ["val"])
    box = np.array([[1, 2, 11, 20.0]])
    write_results(tmp_path / "r.json", dataset, FlatDetections(np.array([1]), np.array([1]), np.array([0.5]), box))
    assert json.loads((tmp_path / "r.json").read_text())[0]["image_id"] == "0005"
    assert read_results(tmp_path / "r.json", dataset).image.tolist() == [1]


def test_detections_of_a_class_without_category_are_not_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = COCODataset(write(tmp_path, instances()), ["val"], classes=["car", "tram", "bus"])
    box = np.tile([1, 2, 11, 20.0], (3, 1))
    write_results(tmp_path / "r.json", dataset, FlatDetections(np.zeros(3, int), np.arange(3), np.ones(3), box))
    assert [row["category_id"] for row in json.loads((tmp_path / "r.json").read_text())] == [3, 7]
    assert "1 detections are of classes that" in caplog.text


def test_ids_that_are_not_written_alike_are_those_of_two_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """pycocotools compares ids as they are, and has two images too."""
    content = instances()
    for record, number in zip(content["images"], (1, "001", "02"), strict=True):
        record["id"] = number
    content["annotations"] = [content["annotations"][0] | {"image_id": "001"}]
    dataset = COCODataset(write(tmp_path, content), ["val"])
    assert "images have the ids 1 and '001', which are two" in caplog.text
    assert np.diff(dataset.table.offsets).tolist() == [0, 1, 0]
    rows = [{"image_id": image, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5} for image in (1, "1", "001", 2)]
    (tmp_path / "r.json").write_text(json.dumps(rows))
    assert read_results(tmp_path / "r.json", dataset).image.tolist() == [0, 0, 1, 2]
    (tmp_path / "r.json").write_text(json.dumps([rows[0] | {"image_id": "+1"}]))
    with pytest.raises(UserError, match=r"result 1 is of image '\+1', which"):
        read_results(tmp_path / "r.json", dataset)


def test_a_number_and_its_text_are_one_id(tmp_path: Path) -> None:
    content = instances()
    for record, number in zip(content["images"], (1, "1", 2), strict=True):
        record["id"] = number
    content["annotations"] = []
    with pytest.raises(UserError, match="two images have the id '1'; renumber them"):
        COCODataset(write(tmp_path, content), ["val"])


def test_a_part_of_a_set_has_the_objects_of_its_own_images_alone(tmp_path: Path) -> None:
    content = instances()
    for record, number in zip(content["images"], (1, "001", 2), strict=True):
        record["id"] = number
    content["annotations"] = [content["annotations"][0] | {"image_id": 1}]
    dataset = COCODataset(write(tmp_path, content), ["val"])
    assert len(instances_of(dataset).image) == 1
    assert len(instances_of(subset(dataset, np.array([1, 2]))).image) == 0
