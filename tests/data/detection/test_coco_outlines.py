"""The box around a mask equals the one of its pixels, for run-length codes as pycocotools writes them."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as masks

from resdet.data.detection.coco_outlines import enclosing_box


def test_boxes_of_run_length_codes_are_those_of_the_pixels() -> None:
    random = np.random.default_rng(0)
    for trial in range(200):
        height, width = random.integers(1, 40, 2)
        mask = np.zeros((height, width), np.uint8)
        if trial % 3:
            top, bottom = np.sort(random.integers(0, height + 1, 2))
            left, right = np.sort(random.integers(0, width + 1, 2))
            mask[top:bottom, left:right] = 1
        else:
            mask[random.random(mask.shape) < 0.1] = 1
        packed = masks.encode(np.asfortranarray(mask))
        changes = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.ravel()]))).tolist()
        runs = np.diff([0, *changes, mask.size]).tolist()
        rows, columns = np.nonzero(mask)
        expected = None
        if len(rows):
            expected = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert enclosing_box({"size": packed["size"], "counts": packed["counts"].decode()}) == expected
        assert enclosing_box({"size": [int(height), int(width)], "counts": runs}) == expected


@pytest.mark.parametrize(
    "outline",
    [
        None, [], {}, [[1, 2, 3]], [[]], [["x", 1]], [[float("inf"), 1]], [1, [2]], {"size": [2, 2], "counts": [5]},
        {"size": [2, 2], "counts": [-1, 5]}, {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": [2, 2], "counts": [4]},
        {"size": [2, 2], "counts": "\x00"}, {"size": [2, 2], "counts": "oooooooooooooooooooooooo"}, "text", 3,
    ],
)  # fmt: skip
def test_no_box_without_an_outline(outline: object) -> None:
    assert enclosing_box(outline) is None
