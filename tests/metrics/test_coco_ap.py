"""The twelve COCO figures and the curves equal those of pycocotools: crowds, areas, empty results, other formats."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.coco import COCODataset, instances_of
from resdet.data.detection.coco_results import read_results, write_results
from resdet.data.detection.splitting import subset
from resdet.metrics.coco_ap import FIGURES, CocoDetections, Instances, evaluate_coco
from resdet.metrics.flat import FlatDetections


def random_set(root: Path, images: int, objects: int = 6, seed: int = 0, first: int = 0) -> COCODataset:
    """Boxes of all sizes, every tenth a crowd, category ids with gaps; there are no image files."""
    random = np.random.default_rng(seed)
    content: dict = {"categories": [{"id": i, "name": f"c{i}"} for i in (2, 3, 11, 40)], "annotations": []}
    content["images"] = [{"id": first + i, "file_name": f"{i}.jpg", "width": 800, "height": 700} for i in range(images)]
    for image in content["images"]:
        for _ in range(random.integers(0, 2 * objects)):
            x, y = random.uniform(0, [500, 400])
            width, height = np.exp(random.uniform(2, 5.3, 2))
            item = {"id": len(content["annotations"]) + 1, "image_id": image["id"], "bbox": [x, y, width, height]}
            crowd = int(random.random() < 0.1)
            item |= {"category_id": int(random.choice([2, 3, 11])), "iscrowd": crowd, "area": 0.6 * width * height}
            content["annotations"].append(item)
    (root / f"{first}.json").write_text(json.dumps(content))
    return without_images(root, first)


def without_images(root: Path, *firsts: int, **options: Any) -> COCODataset:
    return COCODataset(root, [(f"images{first}", f"{first}.json") for first in firsts], with_images=False, **options)


def noisy(dataset: COCODataset, seed: int = 1) -> FlatDetections:
    """Shifted ground truth, some of it twice, with false positives; two-digit scores, so that some are equal."""
    random = np.random.default_rng(seed)
    table = dataset.table
    box = np.concatenate([table.boxes, table.boxes[::2], random.permutation(table.boxes)[: len(table.boxes) // 2]])
    image = np.concatenate([table.image_of_object(), table.image_of_object()[::2]])
    image = np.concatenate([image, random.integers(0, len(dataset), len(box) - len(image))])
    label = np.concatenate([table.labels, table.labels[::2]])
    label = np.concatenate([label, random.integers(0, 4, len(box) - len(label))])
    size = np.tile(box[:, 2:] - box[:, :2], 2)
    box = box + 0.1 * size * random.normal(size=box.shape)
    box[:, 2:] = np.maximum(box[:, 2:], box[:, :2] + 1)
    return FlatDetections(image, label, random.random(len(box)).round(2), box.round(2))


def by_hand(files: list[Path], results: Path) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(files[0]))
        evaluation = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_the_twelve_figures_equal_pycocotools_on_the_results_file(tmp_path: Path) -> None:
    dataset = random_set(tmp_path, 40)
    detections = noisy(dataset)
    result = evaluate_coco(instances_of(dataset), detections)
    write_results(tmp_path / "results.json", dataset, detections)
    stats = by_hand(list(dataset.files), tmp_path / "results.json")
    assert list(result.figures) == list(FIGURES)
    np.testing.assert_allclose(list(result.figures.values()), stats, atol=1e-9)
    assert 0.05 < result.figures["AP"] < result.figures["AP50"] < 1
    assert np.isnan(result.over_thresholds[3])  # category 40 has no object
    assert np.nanmean(result.over_thresholds) == pytest.approx(result.figures["AP"], abs=1e-12)
    assert np.nanmean([c.ap for c in result.classes]) == pytest.approx(result.figures["AP50"], abs=1e-12)
    table = dataset.table
    assert [c.num_truth for c in result.classes] == np.bincount(table.labels[~table.crowd], minlength=4).tolist()


@pytest.mark.shared
@pytest.mark.parametrize("repeats", [1, 12])  # with 12, some images have more than 100 detections of one class
def test_the_twelve_figures_on_coco128_equal_pycocotools(shared: Path, tmp_path: Path, repeats: int) -> None:
    with tarfile.open(shared / "data" / "coco128.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    dataset = COCODataset(next(tmp_path.rglob("annotations")).parent, ["train2017"])
    rounds = [noisy(dataset, seed) for seed in range(repeats)]
    detections = FlatDetections(*(np.concatenate([getattr(r, f.name) for r in rounds]) for f in fields(FlatDetections)))
    write_results(tmp_path / "results.json", dataset, detections)
    stats = by_hand(list(dataset.files), tmp_path / "results.json")
    figures = evaluate_coco(instances_of(dataset), detections).figures
    np.testing.assert_allclose(list(figures.values()), stats, atol=1e-9)
    assert (np.bincount(detections.image * 80 + detections.label).max() > 100) == (repeats > 1)


def test_figures_do_not_depend_on_the_order_of_classes(tmp_path: Path) -> None:
    dataset = random_set(tmp_path, 40)
    found = evaluate_coco(instances_of(dataset), noisy(dataset))
    other = without_images(tmp_path, 0, classes=["c11", "c2", "c3"])
    swap = np.array([1, 2, 0, 3])  # c2 c3 c11 c40 are labels 0 1 2 3 here, 1 2 0 there
    detections = noisy(dataset)
    kept = detections.label < 3
    same = FlatDetections(
        detections.image[kept], swap[detections.label[kept]], detections.score[kept], detections.box[kept]
    )
    moved = evaluate_coco(instances_of(other), same)
    for ours, theirs in enumerate(swap[:3]):
        assert moved.classes[theirs].ap == pytest.approx(found.classes[ours].ap)
        assert moved.over_thresholds[theirs] == pytest.approx(found.over_thresholds[ours])
        np.testing.assert_array_equal(moved.classes[theirs].score, found.classes[ours].score)
    assert len({round(c.ap, 6) for c in moved.classes}) == 3


def test_files_without_areas_and_crowds_and_with_string_ids_are_scored(tmp_path: Path) -> None:
    dataset = random_set(tmp_path, 20)
    content = json.loads(dataset.files[0].read_text())
    for item in content["annotations"]:
        del item["area"], item["iscrowd"]
        item["image_id"] = str(item["image_id"])
    dataset.files[0].write_text(json.dumps(content))
    bare = without_images(tmp_path, 0)
    table = bare.table
    perfect = FlatDetections(table.image_of_object(), table.labels, np.ones(len(table.labels)), table.boxes)
    assert evaluate_coco(instances_of(bare), perfect).figures["AP"] == pytest.approx(1)


def test_boxes_of_other_formats_score_as_the_same_boxes_in_coco_files(tmp_path: Path) -> None:
    dataset = random_set(tmp_path, 30)
    detections = noisy(dataset)
    plain = DetectionDataset(dataset.classes, dataset.table)
    ours, theirs = (evaluate_coco(instances_of(d), detections).figures for d in (plain, dataset))
    by_area = ("small", "medium", "large")  # the file's areas are those of polygons, 60 % of the boxes
    same = [name for name in FIGURES if not name.endswith(by_area)]
    assert {n: ours[n] for n in same} == pytest.approx({n: theirs[n] for n in same})
    assert any(ours[n] != theirs[n] for n in FIGURES if n not in same)


def test_the_truth_scores_one_and_no_detections_score_zero(tmp_path: Path) -> None:
    dataset = random_set(tmp_path, 10)
    table = dataset.table
    arrays = (table.image_of_object(), table.labels, np.ones(len(table.labels)), table.boxes)
    perfect = FlatDetections(*(a[~table.crowd] for a in arrays))
    result = evaluate_coco(instances_of(dataset), perfect)
    assert result.figures["AP"] == pytest.approx(1, abs=1e-9)
    nothing = FlatDetections(np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros((0, 4)))
    result = evaluate_coco(instances_of(dataset), nothing)
    assert (result.figures["AP"], result.figures["AR_100"]) == (0, 0)


def test_merged_files_are_scored_as_one_dataset(tmp_path: Path) -> None:
    parts = [random_set(tmp_path, 12, seed=s, first=f) for s, f in ((0, 0), (5, 1000))]
    whole = without_images(tmp_path, 0, 1000)
    found = [noisy(part) for part in parts]
    image = np.concatenate([found[0].image, found[1].image + 12])
    rest = (np.concatenate([getattr(f, name) for f in found]) for name in ("label", "score", "box"))
    result = evaluate_coco(instances_of(whole), FlatDetections(image, *rest))
    single = [evaluate_coco(instances_of(p), f) for p, f in zip(parts, found, strict=True)]
    low, high = sorted(r.figures["AP50"] for r in single)
    assert low - 0.1 < result.figures["AP50"] < high + 0.1
    alone = evaluate_coco(instances_of(subset(whole, np.arange(12))), found[0])
    assert alone.figures == pytest.approx(single[0].figures, nan_ok=True)  # the other file's images are not looked at


def ids_are_texts(content: dict[str, Any]) -> None:
    for image in content["images"]:
        image["id"] = f"im_{image['id']}"
    for item in content["annotations"]:
        item["image_id"] = f"im_{item['image_id']}"


def crowds_alone(content: dict[str, Any]) -> None:
    for item in content["annotations"]:
        item["iscrowd"] = 1


@pytest.mark.parametrize("change", [ids_are_texts, crowds_alone, lambda content: content["annotations"].clear()])
def test_changed_files_score_as_pycocotools_scores_them(tmp_path: Path, change: Any) -> None:
    detections = noisy(random_set(tmp_path, 40))
    content = json.loads((tmp_path / "0.json").read_text())
    change(content)
    (tmp_path / "0.json").write_text(json.dumps(content))
    dataset = without_images(tmp_path, 0)
    write_results(tmp_path / "results.json", dataset, detections)
    stats = by_hand(list(dataset.files), tmp_path / "results.json")
    found = evaluate_coco(instances_of(dataset), read_results(tmp_path / "results.json", dataset))
    np.testing.assert_array_equal(np.nan_to_num(list(found.figures.values()), nan=-1), stats)


def random_instances(seed: int) -> tuple[Instances, CocoDetections]:
    """Ground truth and detections; every tenth set has no detections, every tenth more than 100 per image.

    Scores, IoUs and areas that equal each other or a threshold are frequent.
    """
    random = np.random.default_rng(seed)
    images, classes = (2 if seed % 10 == 1 else int(random.integers(1, 8))), int(random.integers(1, 4))
    objects, found = int(random.integers(0, 6 * images)), int(random.integers(0, 10 * images))
    found = 0 if seed % 10 == 0 else 150 * images if seed % 10 == 1 else found
    digits = int(random.choice([0, 1, 9]))
    box = np.concatenate([random.uniform(0, 300, (objects, 2)), np.exp(random.uniform(1, 5.3, (objects, 2)))], 1)
    box = box.round(digits)
    area = np.where(random.random(objects) < 0.8, box[:, 2:].prod(1) * random.choice([1, 0.6]), 1024.0)
    image, label = random.integers(0, images, objects), random.integers(0, classes, objects) // random.integers(1, 3)
    order = random.permutation(images)
    truth = Instances(order, classes, image, label, box, area, random.random(objects) < random.choice([0, 0.2, 1]))
    near = random.integers(0, max(objects, 1), found)
    guess = box[near] if objects else np.tile([10.0, 20, 32, 32], (found, 1))
    moved = guess + random.choice([0, 0.1], (found, 1)) * random.normal(size=(found, 4)) * np.tile(guess[:, 2:], 2)
    moved[:, 2:] = np.maximum(moved[:, 2:] * random.choice([1, 1, 0.5, 0.75], (found, 2)), 1)
    moved = moved.round(digits)
    where = image[near] if objects and seed % 10 != 1 else np.arange(found) % images
    what = np.where(random.random(found) < 0.9, label[near] if objects else 0, random.integers(0, classes, found))
    corners = np.concatenate([moved[:, :2], moved[:, :2] + moved[:, 2:]], 1)
    scores = random.random(found).round(int(random.choice([1, 9])))
    return truth, CocoDetections(where, what, scores, corners, moved[:, 2:])


def by_pycocotools(truth: Instances, found: CocoDetections) -> COCOeval:
    rows = zip(truth.order[truth.image] + 1, truth.label + 1, truth.box.tolist(), truth.area, truth.crowd, strict=True)
    objects = [
        {"id": n, "image_id": int(i), "category_id": int(k), "bbox": b, "area": float(a), "iscrowd": int(c)}
        for n, (i, k, b, a, c) in enumerate(rows, 1)
    ]
    size, order = found.size.tolist(), truth.order[found.image] + 1
    detections = [
        {"id": n + 1, "image_id": int(order[n]), "category_id": int(found.label[n]) + 1, "iscrowd": 0}
        | {"bbox": [*found.box[n, :2].tolist(), *size[n]], "area": size[n][0] * size[n][1]}
        | {"score": float(found.score[n])}
        for n in range(len(found))
    ]
    lists = {"images": [{"id": i + 1} for i in range(len(truth.order))]}
    lists["categories"] = [{"id": k + 1} for k in range(truth.num_classes)]
    sides = [COCO(), COCO()]
    with contextlib.redirect_stdout(io.StringIO()):
        for side, annotations in zip(sides, (objects, detections), strict=True):
            side.dataset = lists | {"annotations": annotations}
            side.createIndex()
        evaluation = COCOeval(*sides, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def test_figures_and_curves_equal_pycocotools_on_200_random_sets() -> None:
    for seed in range(200):
        truth, found = random_instances(seed)
        ours, theirs = evaluate_coco(truth, found), by_pycocotools(truth, found)
        figures = np.nan_to_num(list(ours.figures.values()), nan=-1)
        np.testing.assert_allclose(figures, theirs.stats, rtol=0, atol=1e-9, err_msg=str(seed))
        for k, result in enumerate(ours.classes):
            np.testing.assert_array_equal(
                np.nan_to_num(result.precision, nan=-1), theirs.eval["precision"][0, :, k, 0, 2]
            )
            np.testing.assert_array_equal(result.score, theirs.eval["scores"][0, :, k, 0, 2])
