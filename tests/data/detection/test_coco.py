"""COCO files: ids with gaps, crowds, images without objects, merged files, results, and what is refused."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from resdet.data.detection.coco import COCO_CLASSES, COCODataset, read_results, write_results
from resdet.data.detection.coco_file import read_coco_file
from resdet.errors import UserError
from resdet.metrics.flat import FlatDetections


def instances() -> dict:
    """Three images of 40x30; categories 7 and 3, not in the order of their ids."""
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in (12, 5, 90)],
        "categories": [{"id": 7, "name": "bus"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 7, "bbox": [1.5, 2, 10, 20.25], "iscrowd": 0, "area": 100},
            {"id": 2, "image_id": 12, "category_id": 3, "bbox": [0, 0, 40, 30], "iscrowd": 1, "area": 900},
            {"id": 3, "image_id": 12, "category_id": 7, "bbox": [30, 20, 20, 20], "iscrowd": 0, "area": 100},
            {"id": 4, "image_id": 12, "category_id": 7, "bbox": [3, 3, 0, 5], "iscrowd": 0, "area": 0},
        ],
    }


def write(root: Path, content: object, name: str = "val") -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    for i in (12, 5, 90):
        cv2.imwrite(str(root / name / f"{i}.png"), np.zeros((30, 40, 3), np.uint8))
    (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    return root


def test_categories_become_labels_in_the_order_of_their_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "resdet"):
        dataset = COCODataset(write(tmp_path, instances()), ["val"])
    assert dataset.classes == ("car", "bus")
    assert dataset.category_ids.tolist() == [3, 7]
    assert dataset.image_numbers.tolist() == [12, 5, 90]  # the file's order
    crowded = dataset[0]
    assert crowded.boxes.tolist() == [[0, 0, 40, 30], [30, 20, 40, 30]]  # clipped; the empty one is gone
    assert crowded.labels.tolist() == [0, 1]
    assert crowded.crowd.tolist() == [True, False]
    assert "1 boxes extend beyond their image and were clipped, 1 have no area" in caplog.text
    assert dataset[1].boxes.tolist() == [[1.5, 2, 11.5, 22.25]]
    assert dataset[2].boxes.shape == (0, 4)


def test_chosen_classes_leave_out_the_others(tmp_path: Path) -> None:
    root = write(tmp_path, instances())
    dataset = COCODataset(root, ["val"], classes=["bus"], empty_images=False)
    assert dataset.category_ids.tolist() == [7]
    assert dataset.image_numbers.tolist() == [12, 5]
    assert dataset[0].labels.tolist() == [0]
    with pytest.raises(UserError, match="has no category 'bike'; it has car, bus"):
        COCODataset(root, ["val"], classes=["bike"])


def test_image_sets_are_merged_and_must_not_share_images(tmp_path: Path) -> None:
    other = instances()
    for image in other["images"]:
        image["id"] += 1000
    for item in other["annotations"]:
        item["image_id"] += 1000
    root = write(write(tmp_path, instances()), other, "train")
    both = COCODataset(root, ["train", ("val", "annotations/instances_val.json")])
    assert both.image_numbers.tolist() == [1012, 1005, 1090, 12, 5, 90]
    assert Path(str(both.table.paths[0])).parent.name == "train"
    assert both[5].boxes.shape == (0, 4)
    with pytest.raises(UserError, match="image 12 is in the chosen sets twice"):
        COCODataset(root, ["val", "val"])
    other["categories"][0]["name"] = "lorry"
    write(root, other, "train")
    with pytest.raises(UserError, match="have different categories"):
        COCODataset(root, ["train", "val"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("annotations"), "no list 'annotations'"),
        (lambda d: d["images"].clear(), "has no images"),
        (lambda d: d["images"][0].pop("width"), "image 12 has no 'width'"),
        (lambda d: d["annotations"][0].pop("category_id"), "annotation 1 has no 'category_id'"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "annotation 1 has bbox .*, not x, y, width, height"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3, float("nan")]), "annotation 1 has bbox"),
        (lambda d: d["annotations"][1].update(image_id=8), "annotation 2 is of image 8, which is not listed"),
        (lambda d: d["annotations"][1].update(category_id=8), "annotation 2 is of category 8, which is not listed"),
        (lambda d: d["categories"][1].update(name="bus"), "one id or one name"),
        (lambda d: d["images"][1].update(id=12), "two images have the id 12"),
        (lambda d: d["annotations"][3].update(id=2), "two annotations have the id 2"),
        (lambda d: d["images"][1].update(height=-30), "image 5 is 40x-30"),
        (lambda d: d["images"][1].update(width=float("inf")), "image 5: width inf is not a number"),
        (lambda d: d["images"][1].update(id=[5]), "is not a number"),
        (lambda d: d["images"][1].update(width="wide"), "image 5: width 'wide' is not a number"),
    ],
)
def test_a_bad_file_is_named_with_the_entry(tmp_path: Path, change: Callable[[dict], object], message: str) -> None:
    content = instances()
    change(content)
    with pytest.raises(UserError, match=f"instances_val.json.*{message}") as caught:
        COCODataset(write(tmp_path, content), ["val"])
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    root = write(tmp_path, instances())
    with pytest.raises(UserError, match="train2017: no such folder"):
        COCODataset(root, ["train2017"])
    file = root / "annotations" / "instances_val.json"
    file.write_text(file.read_text()[:-40])
    with pytest.raises(UserError, match=r"instances_val.json: not valid JSON .*line 1"):
        COCODataset(root, ["val"])
    file.write_text("[]")
    with pytest.raises(UserError, match="holds a list"):
        COCODataset(root, ["val"])
    file.unlink()
    with pytest.raises(UserError, match=r"instances_val.json: no such file"):
        COCODataset(root, ["val"])


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


def test_a_cache_gives_the_same_annotations_and_is_renewed_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, instances()) / "annotations" / "instances_val.json"
    first = read_coco_file(path, cached_from=0)
    cache = path.with_name("instances_val.resdet.npz")
    assert cache.is_file()
    second = read_coco_file(path)
    for name, array in vars(first).items():
        np.testing.assert_array_equal(array, getattr(second, name), err_msg=name)
    cache.write_bytes(cache.read_bytes()[:300])  # cut short: the JSON is read again
    assert read_coco_file(path).categories == {3: "car", 7: "bus"}
    read_coco_file(path, cached_from=0)
    changed = instances()
    changed["categories"][0]["name"] = "tram"
    path.write_text(json.dumps(changed))
    assert read_coco_file(path).categories == {3: "car", 7: "tram"}


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


@pytest.mark.shared
def test_coco128_is_read_as_pycocotools_reads_it(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "data" / "coco128.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    root = next(tmp_path.rglob("annotations")).parent
    dataset = COCODataset(root, ["train2017"])
    theirs = COCO(str(dataset.files[0]))
    assert len(dataset) == 128
    assert dataset.category_ids.tolist() == sorted(theirs.cats)
    assert [theirs.cats[i]["name"] for i in dataset.category_ids] == list(dataset.classes)
    assert dataset.classes == COCO_CLASSES
    assert int(dataset.table.crowd.sum()) == sum(a["iscrowd"] for a in theirs.anns.values()) == 10
    for i, number in enumerate(dataset.image_numbers.tolist()):
        items = theirs.loadAnns(theirs.getAnnIds(number))
        rows = dataset.table.objects(i)
        assert dataset.category_ids[dataset.table.labels[rows]].tolist() == [a["category_id"] for a in items]
        corners = np.array([a["bbox"] for a in items]).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        np.testing.assert_allclose(dataset.table.boxes[rows], corners, atol=0.01)
    assert dataset[0].image.shape == (480, 640, 3)
