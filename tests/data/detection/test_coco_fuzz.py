"""Whatever a COCO file or a results file holds: a data set that can be used, or a UserError of one short line."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.coco import instances, write
from resdet.data.detection.coco import COCODataset, instances_of
from resdet.data.detection.coco_results import read_results, write_results
from resdet.errors import UserError
from resdet.inspection.coco import check_coco
from resdet.metrics.coco_ap import evaluate_coco
from resdet.metrics.flat import FlatDetections

FEW = settings(
    max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
MANY = settings(FEW, max_examples=20_000)

numbers = st.one_of(
    st.sampled_from([0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**309, 10**400]),
    st.integers(-50, 100),
    st.floats(),
    st.sampled_from([0.0, 1.0, 5.0, 12.0, 90.0, 1.9, 1e9, 1e308, float("nan"), float("inf"), -0.0]),
)
texts = st.one_of(
    st.sampled_from(
        ["", "0", "1", "5", "12", "90", "7", "007", "5.0", "nan", "1e999", "true", "false", "null", "none"]
    ),
    st.sampled_from(["bus", "car", "12.png", "../../etc", "..\\..\\x", "a\0b", "\ud800", "a\nb", "[1, 2, 3, 4]"]),
    st.sampled_from(["9" * 5000, "x" * 5000, "C:\\x.png", "/", ".", "5.png ", "./5.png"]),
    st.text(max_size=8),
)
scalars = st.one_of(numbers, texts, st.none(), st.booleans())
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=3))
boxes = st.lists(st.one_of(numbers, texts), min_size=4, max_size=4)
outlines = st.one_of(
    values,
    st.lists(st.lists(numbers, max_size=8), max_size=3),
    st.fixed_dictionaries({"size": st.lists(numbers, min_size=2, max_size=2), "counts": st.lists(numbers) | texts}),
)
KEYS = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"),
    "categories": ("id", "name", "supercategory"),
}


@st.composite
def contents(draw: st.DrawFn) -> Any:
    """A valid file with some of its values removed or replaced."""
    content: Any = copy.deepcopy(instances())
    for _ in range(draw(st.integers(0, 4))):
        section = draw(st.sampled_from(list(KEYS)))
        if draw(st.integers(0, 15)) == 0:
            content[section] = draw(values)
        elif isinstance(content[section], list) and content[section]:
            row = draw(st.integers(0, len(content[section]) - 1))
            if isinstance(content[section][row], dict) and draw(st.integers(0, 15)):
                key = draw(st.sampled_from(KEYS[section]))
                content[section][row].pop(key, None)
                if draw(st.integers(0, 4)):
                    kind = boxes if key == "bbox" else outlines if key == "segmentation" else scalars
                    content[section][row][key] = draw(kind | values)
            else:
                content[section][row] = draw(values)
    return content


results = st.lists(
    st.fixed_dictionaries({}, optional={
        "image_id": st.sampled_from([5, 12, 90, "5", 12.0]) | scalars, "category_id": st.sampled_from([3, 7]) | scalars,
        "bbox": boxes | values, "score": scalars,
    })
    | values,
    max_size=4,
)  # fmt: skip


@st.composite
def files(draw: st.DrawFn, content: st.SearchStrategy[Any]) -> bytes:
    """JSON, some of it with changed or missing bytes."""
    data = bytearray(json.dumps(draw(content)).encode())
    if draw(st.integers(0, 3)) == 0:
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(data)))
            data[at : at + draw(st.integers(0, 3))] = draw(
                st.binary(max_size=3)
                | st.sampled_from([b"[" * 3000, b"NaN", b"-Infinity", b"9" * 4400, b"\\ud800", b'"'])
            )
    return bytes(data)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("fuzz"), instances())


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Any:
    logging.getLogger("resdet").setLevel(logging.ERROR)


def check_message(error: UserError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 1500
    str(error).encode()


def check_annotations(root: Path, data: bytes, empty_images: bool) -> None:
    (root / "fuzzed.json").write_bytes(data)
    try:
        dataset = COCODataset(root, [("val", "fuzzed.json")], empty_images=empty_images)
    except UserError as error:
        check_message(error)
        if len(data) % 8 == 0:  # decoding images takes longer than all the rest
            check_annotations_without_images(root)
        return
    table = dataset.table
    assert len(table)
    assert np.isfinite(table.boxes).all()
    assert (table.boxes[:, 2:] > table.boxes[:, :2]).all()
    assert (table.boxes[:, 2:] <= np.repeat(table.sizes[:, ::-1], np.diff(table.offsets), axis=0)).all()
    assert ((table.labels >= 0) & (table.labels < len(dataset.classes))).all()
    truth = FlatDetections(table.image_of_object(), table.labels, np.ones(len(table.labels)), table.boxes)
    figures = evaluate_coco(instances_of(dataset), truth).figures
    assert all(np.isnan(value) or 0 <= value <= 1 for value in figures.values())
    write_results(root / "written.json", dataset, truth)
    assert read_results(root / "written.json", dataset).image.tolist() == truth.image.tolist()


def check_annotations_without_images(root: Path) -> None:
    """Every problem is listed, and scoring needs no images."""
    problems = list(check_coco(root, [("val", "fuzzed.json")]))
    assert all("\n" not in problem.text for problem in problems)
    try:
        COCODataset(root, [("val", "fuzzed.json")], with_images=False)
    except UserError as error:
        check_message(error)


def check_results(root: Path, dataset: COCODataset, data: bytes) -> None:
    (root / "results.json").write_bytes(data)
    try:
        found = read_results(root / "results.json", dataset)
    except UserError as error:
        check_message(error)
        return
    figures = evaluate_coco(instances_of(dataset), found).figures
    assert all(np.isnan(value) or 0 <= value <= 1 for value in figures.values())


@given(files(contents()), st.booleans())
@FEW
def test_annotations(root: Path, data: bytes, empty_images: bool) -> None:
    check_annotations(root, data, empty_images)


@given(files(results))
@FEW
def test_results(root: Path, data: bytes) -> None:
    check_results(root, COCODataset(root, ["val"]), data)


@pytest.mark.heavy
@given(files(contents()), st.booleans())
@MANY
def test_many_annotations(root: Path, data: bytes, empty_images: bool) -> None:
    check_annotations(root, data, empty_images)


@pytest.mark.heavy
@given(files(results))
@MANY
def test_many_results(root: Path, data: bytes) -> None:
    check_results(root, COCODataset(root, ["val"]), data)
