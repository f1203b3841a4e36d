"""The confusion matrix equals a plain loop over detections and objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from resdet.metrics.confusion import confusion_matrix
from resdet.metrics.flat import FlatDetections, FlatTruth

K = 3


def random_set(seed: int) -> tuple[FlatDetections, FlatTruth]:
    draw = np.random.default_rng(seed)
    count, found = int(draw.integers(0, 25)), int(draw.integers(0, 80))
    corner, size = draw.uniform(0, 60, (count, 2)), draw.uniform(10, 40, (count, 2))
    box = np.hstack([corner, corner + size])
    truth = FlatTruth(draw.integers(0, 3, count), draw.integers(0, K, count), box, draw.random(count) < 0.2)
    corner, size = draw.uniform(0, 60, (found, 2)), draw.uniform(10, 40, (found, 2))
    around = np.hstack([corner, corner + size])
    if count:
        near = draw.random(found) < 0.7
        around[near] = box[draw.integers(0, count, near.sum())] + draw.normal(0, 3, (near.sum(), 4))
    around[:, 2:] = np.maximum(around[:, 2:], around[:, :2] + 1)
    return FlatDetections(draw.integers(0, 3, found), draw.integers(0, K, found), draw.random(found), around), truth


def plain_loop(detections: FlatDetections, truth: FlatTruth, score: float, iou: float) -> list[list[int]]:
    matrix = [[0] * (K + 1) for _ in range(K + 1)]
    partners: set[int] = set()
    ious = box_iou(torch.from_numpy(detections.box), torch.from_numpy(truth.box))
    for i in sorted(range(len(detections)), key=lambda i: -detections.score[i]):
        if detections.score[i] < score:
            continue
        best, where, ignored = iou, None, False
        for j in range(len(truth)):
            if truth.image[j] != detections.image[i]:
                continue
            if truth.difficult[j]:
                ignored |= bool(ious[i, j] >= iou)
            elif j not in partners and ious[i, j] >= best and (where is None or ious[i, j] > best):
                best, where = float(ious[i, j]), j
        if where is not None:
            partners.add(where)
            matrix[truth.label[where]][detections.label[i]] += 1
        elif not ignored:
            matrix[K][detections.label[i]] += 1
    for j in range(len(truth)):
        if j not in partners and not truth.difficult[j]:
            matrix[truth.label[j]][K] += 1
    return matrix


@pytest.mark.parametrize("seed", range(30))
def test_the_matrix_equals_a_plain_loop(seed: int) -> None:
    detections, truth = random_set(seed)
    assert confusion_matrix(detections, truth, K, 0.3, 0.5).tolist() == plain_loop(detections, truth, 0.3, 0.5)
