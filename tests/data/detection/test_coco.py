"""COCO files: ids with gaps, crowds, images without objects, merged files, exporters' habits, what is refused."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from helpers.coco import instances, write
from resdet.data.detection.coco import COCO_CLASSES, COCODataset, instances_of
from resdet.data.detection.coco_results import read_results
from resdet.errors import UserError
from resdet.inspection.coco import check_coco


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
        (lambda d: d["categories"].clear(), "has no categories"),
        (lambda d: d["images"][0].pop("file_name"), "image 12 has no 'file_name'"),
        (lambda d: d["annotations"][0].pop("category_id"), "annotation 1 has no 'category_id'"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "annotation 1 has bbox .*, not x, y, width, height"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3, float("nan")]), "annotation 1 has bbox"),
        (lambda d: d["annotations"][1].update(image_id=8), "annotation 2 is of image 8, which is not listed"),
        (lambda d: d["annotations"][1].update(category_id=8), "annotation 2 is of category 8, which is not listed"),
        (lambda d: d["annotations"][1].update(category_id=7.5), "annotation 2 has category_id 7.5, which is not"),
        (lambda d: d["annotations"][2].pop("bbox"), "annotation 3 has neither a bbox nor a segmentation"),
        (lambda d: d["annotations"][2].update(bbox=[1, 2, 3, 10**309]), "annotation 3 has bbox"),
        (lambda d: d["annotations"][2].update(area="large"), "annotation 3 has area 'large', which is not a number"),
        (lambda d: d["annotations"][2].update(iscrowd=2), "annotation 3 has iscrowd 2, which is neither 0 nor 1"),
        (lambda d: d["annotations"].append(3), r"annotations\[4\] is 3, not an object"),
        (
            lambda d: d["annotations"][1].update(id=None, bbox="x" * 200),
            r"annotations\[1\] has bbox 'x{79}\.\.\., not x",
        ),
        (lambda d: d["categories"][1].update(name="bus", id=7), "two categories have the id 7"),
        (lambda d: d["categories"][0].update(name="car"), "two categories have the name 'car', and both have objects"),
        (lambda d: d["categories"][0].update(name="\ud800"), r"category 7 has name '\\ud800', .*cannot be printed"),
        (lambda d: d["images"][1].update(id=12), "two images have the id 12"),
        (lambda d: d["annotations"][3].update(id=2), "two annotations have the id 2"),
        (lambda d: d["images"][1].update(width=float("inf")), "image 5 has width inf, which is not a number"),
        (lambda d: d["images"][1].update(id=[5]), r"images\[1\] has id \[5\], which is not a number"),
        (lambda d: d["images"][1].update(width="wide"), "image 5 has width 'wide', which is not a number"),
        (lambda d: d["images"][1].update(file_name="../../5.png"), "image 5: .* is not below"),
        (lambda d: d["images"][1].update(file_name="gone.png"), "gone.png: no such image"),
    ],
)
def test_a_bad_file_is_named_with_the_entry(tmp_path: Path, change: Callable[[dict], object], message: str) -> None:
    content = instances()
    change(content)
    with pytest.raises(UserError, match=message) as caught:
        COCODataset(write(tmp_path, content), ["val"])
    assert "instances_val.json" in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
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


Change = Callable[[dict[str, Any]], object]


def each_object(**values: Any) -> Change:
    return lambda content: [item.update(values) for item in content["annotations"]]


def as_text(content: dict[str, Any]) -> None:
    for item in content["annotations"]:
        item.update({key: str(item[key]) for key in ("id", "image_id", "category_id", "iscrowd", "area")})
        item["bbox"] = [str(v) for v in item["bbox"]]
    for item in (*content["images"], *content["categories"]):
        item.update({key: str(item[key]) for key in ("id", "width", "height") if key in item})


def as_floats(content: dict[str, Any]) -> None:
    for items in content.values():
        for item in items:
            item.update({key: float(value) for key, value in item.items() if isinstance(value, int)})


def pad_ids(content: dict[str, Any]) -> None:
    for item in content["images"]:
        item["id"] = f"{item['id']:012}"


@pytest.mark.parametrize(
    "change",
    [
        as_text,
        as_floats,
        pad_ids,
        lambda d: [item.update(bbox=str(item["bbox"])) for item in d["annotations"]],
        lambda d: [item.update(iscrowd=bool(item["iscrowd"])) for item in d["annotations"]],
        lambda d: [item.pop("iscrowd") for item in d["annotations"] if not item["iscrowd"]],
        lambda d: [item.update(iscrowd=None) for item in d["annotations"] if not item["iscrowd"]],
        lambda d: [item.update(iscrowd="") for item in d["annotations"] if not item["iscrowd"]],
        lambda d: [item.update(iscrowd="True") for item in d["annotations"] if item["iscrowd"]],
        lambda d: [item.pop("id") for item in d["annotations"]],
        lambda d: [item.update(width=-1, height=-1) for item in d["images"]],
        lambda d: [item.update(width=None) for item in d["images"]],
        lambda d: [item.pop("height") for item in d["images"]],
        lambda d: d["images"][1].update(file_name="sub\\..\\5.png"),
        lambda d: d["images"][1].update(file_name="../val/5.png"),
        lambda d: d.update(info={"year": float("nan")}),
    ],
)
def test_exporters_spellings_mean_the_same(tmp_path: Path, change: Change) -> None:
    plain = COCODataset(write(tmp_path, instances()), ["val"])
    content = instances()
    change(content)
    found = COCODataset(write(tmp_path, content), ["val"])
    for name in ("boxes", "labels", "crowd", "sizes", "offsets"):
        np.testing.assert_array_equal(getattr(found.table, name), getattr(plain.table, name), err_msg=name)
    for name in ("image", "label", "box", "area", "crowd"):
        ours, theirs = (getattr(instances_of(d), name) for d in (found, plain))
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    assert [Path(p).resolve() for p in found.table.paths] == [Path(p).resolve() for p in plain.table.paths]
    assert not [p for p in check_coco(tmp_path, ["val"]) if p.refused]


@pytest.mark.parametrize("change", [each_object(area=None), each_object(area=""), each_object(area=-1)])
def test_an_unknown_area_is_that_of_the_box(tmp_path: Path, change: Change) -> None:
    content = instances()
    change(content)
    truth = instances_of(COCODataset(write(tmp_path, content), ["val"]))
    np.testing.assert_array_equal(truth.area, truth.box[:, 2] * truth.box[:, 3])


def test_an_object_without_a_box_gets_the_one_around_its_outline(tmp_path: Path) -> None:
    content = instances()
    first, second, third, _ = content["annotations"]
    del first["bbox"]
    first["segmentation"] = [[10, 5, 20, 5.5, 20, 25], [8, 7, 9, 7, 9, 9]]
    second["bbox"], second["segmentation"] = None, {"size": [30, 40], "counts": [35, 2, 28, 2, 1133]}
    third["bbox"], third["segmentation"] = [], [["1", "2", "3", "5"]]
    boxes = COCODataset(write(tmp_path, content), ["val"]).table.boxes
    assert boxes.tolist() == [[1, 5, 3, 7], [1, 2, 3, 5], [8, 5, 20, 25]]


@pytest.mark.parametrize("ids", [("a/1", "b 2", "7c"), (2**63 - 1, 2**63, 2**64 + 5), ("2", 2**70, -1)])
def test_ids_may_be_texts_or_large(tmp_path: Path, ids: tuple[Any, Any, Any]) -> None:
    content = instances()
    new = dict(zip((12, 5, 90), ids, strict=True))
    for image in content["images"]:
        image["id"] = new[image["id"]]
    for item in content["annotations"]:
        item["image_id"] = new[item["image_id"]]
        item["category_id"] = f"c{item['category_id']}"
    for category in content["categories"]:
        category["id"] = f"c{category['id']}"
    dataset = COCODataset(write(tmp_path, content), ["val"])
    assert dataset.image_numbers.tolist() == list(ids)
    assert dataset.category_ids.tolist() == ["c3", "c7"]
    assert dataset.table.ids.tolist() == [str(value) for value in ids]
    results = [
        {"image_id": ids[1], "category_id": "c7", "bbox": [1, 2, 3, 4], "score": 1},
        {"image_id": str(ids[0]), "category_id": "c3", "bbox": [1, 2, 3, 4], "score": 1},
    ]
    (tmp_path / "r.json").write_text(json.dumps(results))
    assert read_results(tmp_path / "r.json", dataset).image.tolist() == [1, 0]


def test_absolute_and_windows_paths_are_found(tmp_path: Path) -> None:
    content = instances()
    root = write(tmp_path / "set", content)
    (root / "val/deep").mkdir()
    (root / "val/12.png").rename(root / "val/deep/12.png")
    (root / "val/90.png").rename(tmp_path / "90.png")
    content["images"][0]["file_name"] = "deep\\12.png"
    content["images"][2]["file_name"] = str(tmp_path / "90.png")
    (root / "annotations/instances_val.json").write_text(json.dumps(content))
    dataset = COCODataset(root, ["val"])
    assert [dataset[i].image.shape for i in range(3)] == [(30, 40, 3)] * 3


def test_missing_images_are_named_at_once(tmp_path: Path) -> None:
    root = write(tmp_path, instances())
    (root / "val/5.png").unlink()
    with pytest.raises(UserError, match=r"5\.png: no such image"):
        COCODataset(root, ["val"])
    assert len(COCODataset(root, ["val"], with_images=False)) == 3


def test_sizes_are_read_from_the_headers_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = instances()
    for image in content["images"][:2]:
        image["width"] = 0
    root = write(tmp_path, content)
    Image.new("RGB", (64, 48)).save(root / "val/5.png")
    with caplog.at_level("WARNING", "resdet"):
        dataset = COCODataset(root, ["val"])
    assert dataset.table.sizes.tolist() == [[30, 40], [48, 64], [30, 40]]
    assert caplog.text.count("2 of 3 annotations have no image size (first: 12)") == 1


def test_a_set_of_crowds_alone_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = instances()
    each_object(iscrowd=1)(content)
    COCODataset(write(tmp_path, content), ["val"])
    assert "all 4 objects are crowds" in caplog.text
    assert any("all objects are marked as crowds" in p.text for p in check_coco(tmp_path, ["val"]))


def test_a_set_that_is_empty_after_filtering_is_refused(tmp_path: Path) -> None:
    content = instances() | {"annotations": []}
    with pytest.raises(UserError, match=r"instances_val.json: no image is left by empty_images=False"):
        COCODataset(write(tmp_path, content), ["val"], empty_images=False)


@pytest.mark.parametrize(
    "text",
    [
        '{"images": [{"id": ' + "9" * 5000 + "}]",
        '{"images": ' + "[" * 100_000,
        '{"images": [{"id": 1, "file_name": "\xff"}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}',
        '{"images": [{"id": 1, "file_name": "\\ud800"}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}',
        '{"images": [{"id": 1e999, "file_name": "a"}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}',
        '{"images": 3, "annotations": [], "categories": []}',
        "\0\0\0\0",
        "",
    ],
)
def test_hostile_files_are_user_errors(tmp_path: Path, text: str) -> None:
    root = write(tmp_path, instances())
    (root / "annotations/instances_val.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"instances_val\.json") as caught:
        COCODataset(root, ["val"])
    assert len(str(caught.value)) < 500 + len(str(root))


@pytest.mark.parametrize("number", ["1", "NaN"])
def test_deep_nesting_is_a_user_error(tmp_path: Path, number: str) -> None:
    root = write(tmp_path, instances())
    text = json.dumps(instances())
    for depth in range(500, 1100, 13):
        nested = f'"segmentation": {"[" * depth}{number}{"]" * depth}, "bbox": null, "iscrowd"'
        (root / "annotations/instances_val.json").write_text(
            text.replace('"bbox": [30, 20, 20, 20], "iscrowd"', nested)
        )
        with pytest.raises(UserError, match="instances_val"):
            COCODataset(root, ["val"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_files_of_any_unicode_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    content = instances()
    content["categories"][0]["name"] = "Straßenbahn"
    root = write(tmp_path, content)
    text = json.dumps(content, ensure_ascii=False)
    (root / "annotations/instances_val.json").write_text(text, encoding=encoding)
    assert COCODataset(root, ["val"]).classes == ("car", "Straßenbahn")


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
