"""Splitting a dataset: parts are disjoint and complete, rare classes are in both, configs can name either part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.datasets import write_voc
from resdet.data.detection.annotations import Annotation, AnnotationTable, DetectionDataset
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.splitting import SplitPart, stratified_split, subset
from resdet.data.detection.voc import VOCDataset
from resdet.engine.config import build
from resdet.errors import UserError
from resdet.recipes.sections import load_config


def table_of(labels: Sequence[Sequence[int]]) -> AnnotationTable:
    """One image per list, with objects of these classes."""
    return AnnotationTable(
        [
            Annotation(f"{i}.png", str(i), (40, 60), np.array([[k, i, 50, 40] for k in own]), np.array(own))
            for i, own in enumerate(labels)
        ]
    )


def long_tail(images: int = 600) -> AnnotationTable:
    """Twelve classes, each about half as frequent as the previous; several per image, some images empty."""
    random = np.random.default_rng(7)
    return table_of([np.flatnonzero(random.random(12) < 0.5 ** np.arange(1, 13)).tolist() for _ in range(images)])


def images_with(table: AnnotationTable, indices: np.ndarray) -> np.ndarray:
    """Number of images per class among `indices`."""
    chosen = np.isin(table.image_of_object(), indices)
    pairs = np.unique(np.stack([table.image_of_object(), table.labels])[:, chosen], axis=1)
    return np.bincount(pairs[1], minlength=int(table.labels.max()) + 1)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
def test_parts_are_complementary_and_have_the_requested_size(fraction: float) -> None:
    table = long_tail()
    first, second = stratified_split(table, fraction, seed=3)
    assert np.array_equal(np.sort(np.concatenate([first, second])), np.arange(600))
    assert (np.diff(first) > 0).all()
    assert len(first) == pytest.approx(600 * fraction, abs=3)


def test_the_split_depends_on_the_seed_alone() -> None:
    table = long_tail()
    first, again, other = (stratified_split(table, 0.8, seed)[0] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_class_has_its_share_where_a_random_split_misses_it() -> None:
    table = long_tail()
    whole = images_with(table, np.arange(600))
    assert 0 < whole[-1] < 5

    def worst(first: np.ndarray) -> float:
        return float(np.abs(images_with(table, first) - 0.8 * whole).max())

    stratified = [worst(stratified_split(table, 0.8, seed)[0]) for seed in range(5)]
    random = [worst(np.random.default_rng(seed).permutation(600)[:480]) for seed in range(5)]
    assert max(stratified) <= 2
    assert min(random) > max(stratified)


def test_a_class_of_two_images_is_on_both_sides_of_a_half() -> None:
    table = table_of([[0]] * 20 + [[0, 1]] * 2)
    for seed in range(10):
        first, second = stratified_split(table, 0.5, seed)
        assert images_with(table, first).tolist() == [11, 1]
        assert images_with(table, second).tolist() == [11, 1]


def test_a_single_image_of_a_class_is_in_the_larger_part() -> None:
    table = table_of([[0]] * 9 + [[0, 1]])
    assert all(9 in stratified_split(table, 0.6, seed)[0] for seed in range(10))
    assert all(9 in stratified_split(table, 0.4, seed)[1] for seed in range(10))


def test_images_without_objects_are_shared_out_too() -> None:
    table = table_of([[0]] * 10 + [[]] * 10)
    first, second = stratified_split(table, 0.8, seed=0)
    assert [(first < 10).sum(), (first >= 10).sum()] == [8, 8]
    assert [(second < 10).sum(), (second >= 10).sum()] == [2, 2]
    assert [len(part) for part in stratified_split(table_of([[]] * 10), 0.7)] == [7, 3]
    assert [len(part) for part in stratified_split(table_of([]), 0.7)] == [0, 0]


def test_a_subset_keeps_each_image_with_its_objects() -> None:
    dataset = DetectionDataset(("a", "b", "c"), table_of([[0, 1], [], [2], [1, 1, 0]]))
    part = subset(dataset, np.array([3, 1, 0, 3]))
    assert part.table.ids.tolist() == ["3", "1", "0", "3"]
    assert part.table.paths.tolist() == ["3.png", "1.png", "0.png", "3.png"]
    assert part.table.offsets.tolist() == [0, 3, 3, 5, 8]
    assert part.table.labels.tolist() == [1, 1, 0, 0, 1, 1, 1, 0]
    assert part.table.boxes[:, 1].tolist() == [3, 3, 3, 0, 0, 3, 3, 3]
    assert len(dataset) == 4  # as it was
    assert len(subset(dataset, np.array([], np.int64)).table.boxes) == 0


def test_leaving_out_difficult_objects_does_not_change_the_split(tmp_path: Path) -> None:
    """Training often leaves them out, a test never: an image must not get into both parts by that."""
    random = np.random.default_rng(0)
    objects = [[(name, 10, 10, 50, 50, random.random() < 0.5) for name in "abc"[: i % 4]] for i in range(24)]
    write_voc(tmp_path, {"all": {f"p{i}": own for i, own in enumerate(objects)}})
    split = [("tiny", "all")]
    without, whole = (VOCDataset(tmp_path, split, list("abc"), keep_difficult=k) for k in (False, True))
    assert len(without.table.labels) < len(whole.table.labels)
    train, test = SplitPart(without, "train", 0.5), SplitPart(whole, "test", 0.5)
    assert sorted([*train.table.ids, *test.table.ids]) == sorted(whole.table.ids)


def test_parts_of_a_config_share_no_image(tmp_path: Path) -> None:
    write_voc(tmp_path, {"all": {f"p{i}": [("pear", 10, 10, 50, 50)] for i in range(10)}})
    config = tmp_path / "parts.py"
    config.write_text(
        "from resdet.data.detection.splitting import SplitPart\n"
        "from resdet.data.detection.voc import VOCDataset\n"
        f"photos = dict(type=VOCDataset, root={str(tmp_path)!r}, splits=[('tiny', 'all')], classes=None)\n"
        "data = dict(\n"
        "    train=dict(type=SplitPart, dataset=photos, part='train'),\n"
        "    test=dict(type=SplitPart, dataset=photos, part='test'),\n"
        ")\n"
    )
    cfg = load_config(config, {"data.train.fraction": 0.7, "data.test.fraction": 0.7})
    train, test = build(cfg.data.train), build(cfg.data.test)
    assert isinstance(train, DetectionDataset)
    assert train.classes == test.classes == ("pear",)
    assert (len(train), len(test)) == (7, 3)
    assert not set(train.table.ids) & set(test.table.ids)
    assert test[0].boxes.tolist() == [[9, 9, 50, 50]]
    assert test[0].image_id == test.table.ids[0]


def test_parts_of_coco_know_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val").mkdir()
    content = {
        "images": [{"id": 10 * i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in range(6)],
        "categories": [{"id": 7, "name": "bus"}],
        "annotations": [{"id": 1, "image_id": 30, "category_id": 7, "bbox": [1, 2, 10, 20]}],
    }
    (tmp_path / "annotations/instances_val.json").write_text(json.dumps(content))
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"val/{i}.png"), np.zeros((30, 40, 3), np.uint8))
    dataset = COCODataset(tmp_path, ["val"])
    part = SplitPart(dataset, "train", 0.5)
    assert part.image_numbers.tolist() == [int(i) for i in part.table.ids]  # type: ignore[attr-defined]
    assert part.category_ids.tolist() == [7]  # type: ignore[attr-defined]
    assert part.files == dataset.files  # type: ignore[attr-defined]
    few = subset(dataset, np.array([3]))
    assert few.image_numbers.tolist() == [30]
    assert few[0].boxes.tolist() == [[1, 2, 11, 22]]
    assert dataset.image_numbers.tolist() == [0, 10, 20, 30, 40, 50]


def test_invalid_splits_are_refused() -> None:
    dataset = DetectionDataset(("a",), table_of([[0]]))
    for fraction in (0.0, 1.0, 80):
        with pytest.raises(UserError, match="must be between 0 and 1, not"):
            SplitPart(dataset, "train", fraction)
    with pytest.raises(UserError, match="'train' or 'test', not 'val'"):
        SplitPart(dataset, "val")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="of 1 images none is left for 'test'"):
        SplitPart(dataset, "test")
