"""The embedded detection dataset: its documented contents, and that generating it is repeatable and safe."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from resdet.data.embedded.detection import ShapeCrops, ShapesDataset, generate_shape_crops, generate_shapes
from resdet.data.embedded.outlines import SHAPE_CLASSES
from resdet.data.images import read_image
from resdet.errors import UserError

TRAIN, TEST = 60, 12


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_shapes(tmp_path_factory.mktemp("shapes"), TRAIN, TEST)


@pytest.fixture(scope="module")
def trainval(root: Path) -> ShapesDataset:
    return ShapesDataset(root, "trainval", TRAIN, TEST)


def _files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def _flags(root: Path, tag: str) -> np.ndarray:
    files = sorted((root / "VOCshapes" / "Annotations").glob("trainval_*.xml"))
    return np.array([int(e.text or "") for f in files for e in ElementTree.parse(f).iter(tag)], bool)


def test_both_splits_have_the_requested_number_of_images(root: Path, trainval: ShapesDataset) -> None:
    test = ShapesDataset(root, "test", TRAIN, TEST)
    assert (len(trainval), len(test)) == (TRAIN, TEST)
    assert not set(trainval.table.ids) & set(test.table.ids)
    assert trainval.classes == SHAPE_CLASSES == tuple(sorted(SHAPE_CLASSES))
    assert trainval[0].image.numpy().std() > 10


def test_numbers_sizes_and_occlusion_of_objects_are_as_documented(root: Path, trainval: ShapesDataset) -> None:
    table = trainval.table
    per_image = np.diff(table.offsets)
    assert per_image.min() >= 3
    assert per_image.max() <= 10
    sides = np.sqrt(np.prod(table.boxes[:, 2:] - table.boxes[:, :2], axis=1))
    assert np.mean(sides < 32) >= 0.25
    assert np.mean(sides > 64) >= 0.15
    assert np.mean(_flags(root, "occluded")) >= 0.3
    assert _flags(root, "truncated").any()
    assert 0 < table.difficult.mean() < 0.1
    assert set(table.labels) == set(range(8))
    assert {tuple(size) for size in table.sizes.tolist()} == {(240, 320), (320, 240)}


def test_boxes_lie_inside_their_images(trainval: ShapesDataset) -> None:
    table = trainval.table
    limits = table.sizes[table.image_of_object()][:, [1, 0]]
    assert (table.boxes[:, :2] >= 0).all()
    assert (table.boxes[:, 2:] <= limits).all()
    assert (table.boxes[:, 2:] > table.boxes[:, :2]).all()


def test_coco_file_has_the_boxes_of_the_xml_files(root: Path, trainval: ShapesDataset) -> None:
    coco = json.loads((root / "VOCshapes" / "annotations" / "instances_trainval.json").read_text())
    x, y, w, h = np.array([a["bbox"] for a in coco["annotations"]]).T
    np.testing.assert_array_equal(np.stack([x, y, x + w, y + h], 1), trainval.table.boxes)
    np.testing.assert_array_equal([a["category_id"] - 1 for a in coco["annotations"]], trainval.table.labels)
    names = [image["file_name"] for image in coco["images"]]
    assert names == [f"{image_id}.jpg" for image_id in trainval.table.ids]
    assert [c["name"] for c in coco["categories"]] == list(SHAPE_CLASSES)


def test_equal_seeds_give_equal_files_and_different_seeds_do_not(tmp_path: Path) -> None:
    first = _files(generate_shapes(tmp_path / "a", 3, 2, seed=1))
    assert _files(generate_shapes(tmp_path / "b", 3, 2, seed=1)) == first
    other = _files(generate_shapes(tmp_path / "c", 3, 2, seed=2))
    assert all(other[name] != first[name] for name in first if name.endswith(".jpg"))


def test_an_image_does_not_depend_on_how_many_are_drawn(tmp_path: Path) -> None:
    few = _files(generate_shapes(tmp_path / "few", 1, 1))
    more = _files(generate_shapes(tmp_path / "more", 2, 2))
    assert all(more[name] == few[name] for name in few if name.endswith(".jpg"))


def test_a_second_call_reuses_the_files_unless_arguments_change(tmp_path: Path) -> None:
    generate_shapes(tmp_path, 2, 1)
    marker = tmp_path / "VOCshapes" / "marker"
    marker.touch()
    generate_shapes(tmp_path, 2, 1)
    assert marker.exists()
    generate_shapes(tmp_path, 1, 1)
    assert not marker.exists()
    assert len(ShapesDataset(tmp_path, "trainval", 1, 1)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["VOCshapes"]


def test_concurrent_calls_leave_one_complete_set(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: generate_shapes(tmp_path, 3, 1), range(4)))
    assert len(ShapesDataset(tmp_path, "trainval", 3, 1)) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["VOCshapes"]


def test_a_folder_of_the_user_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "VOCshapes").mkdir()
    (tmp_path / "VOCshapes" / "shapes_manifest.json").write_text('{"thesis": 1}')
    with pytest.raises(UserError, match="choose another folder"):
        generate_shapes(tmp_path, 1, 1)
    assert (tmp_path / "VOCshapes" / "shapes_manifest.json").exists()


def test_an_unwritable_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        generate_shapes(tmp_path / "file", 1, 1)


def test_crops_have_one_folder_per_class_with_equal_numbers(tmp_path: Path) -> None:
    root = generate_shape_crops(tmp_path / "crops", train=16, val=8, size=48)
    for split, each in (("train", 2), ("val", 1)):
        folders = sorted((root / split).iterdir())
        assert tuple(f.name for f in folders) == SHAPE_CLASSES
        assert [len(list(f.glob("*.jpg"))) for f in folders] == [each] * 8
    assert read_image(next((root / "val" / "star").iterdir())).shape == (48, 48, 3)


def test_crops_are_a_classification_set(tmp_path: Path) -> None:
    crops = ShapeCrops(tmp_path / "crops", "val", train=8, val=16, size=32)
    assert crops.classes == SHAPE_CLASSES
    assert sorted(crops[i][1] for i in range(len(crops))) == sorted([*range(8)] * 2)
    assert crops[0][0].shape == (32, 32, 3)


def test_difficult_objects_can_be_left_out(root: Path, trainval: ShapesDataset) -> None:
    easy = ShapesDataset(root, "trainval", TRAIN, TEST, keep_difficult=False)
    assert len(easy.table.labels) == np.sum(~trainval.table.difficult)
    assert len(easy) == TRAIN


def test_crops_of_training_and_validation_differ(tmp_path: Path) -> None:
    files = _files(generate_shape_crops(tmp_path / "crops", train=8, val=8))
    pictures = [data for name, data in files.items() if name.endswith(".jpg")]
    assert len(set(pictures)) == 16


def test_a_box_bounds_the_visible_pixels(root: Path, trainval: ShapesDataset) -> None:
    """At a box's sides the picture changes more than elsewhere: vivid shapes end there."""
    at_side, elsewhere = [], []
    for index in range(len(trainval)):
        sample = trainval[index]
        gray = cv2.cvtColor(sample.image.numpy(), cv2.COLOR_RGB2LAB).astype(np.float32)
        steps = np.abs(np.diff(gray, axis=1)).sum(2)
        elsewhere.append(steps.mean())
        for x1, y1, _, y2 in sample.boxes.numpy().astype(int):
            if x1 > 2:
                at_side.append(steps[y1:y2, x1 - 2 : x1 + 2].max(1).max())
    assert np.median(at_side) > 5 * np.mean(elsewhere)
