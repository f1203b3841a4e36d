"""Soft-NMS against a literal loop."""

from __future__ import annotations

import pytest
import torch

from helpers.appendix_b import random_boxes, slow_iou
from resdet.boxes.nms import multiclass_nms
from resdet.boxes.soft_nms import SoftNMS, multiclass_soft_nms
from resdet.errors import UserError


@pytest.mark.parametrize("soft", [SoftNMS("linear", iou=0.3), SoftNMS("gaussian", sigma=0.5)])
def test_soft_nms_lowers_scores_as_the_papers_loop_does(soft):
    boxes, scores = random_boxes(40, 3)
    expected = []
    for k in range(3):
        left = [[float(s), b] for s, b in zip(scores[:, k], boxes[:, k].tolist(), strict=True) if s > 0.05]
        while left:
            best = max(left, key=lambda row: row[0])
            left.remove(best)
            expected.append((best[0], k, best[1]))
            for row in left:
                iou = slow_iou(best[1], row[1])
                gaussian = torch.tensor(-(iou**2) / soft.sigma, dtype=torch.float64).exp().item()
                row[0] *= gaussian if soft.decay == "gaussian" else 1 - iou * (iou > soft.iou)
            left = [row for row in left if row[0] > 0.05]
    expected = sorted(expected, key=lambda row: -row[0])[:25]
    found, values, labels = multiclass_soft_nms(boxes, scores, soft, 0.05, 25)
    torch.testing.assert_close(values, torch.tensor([row[0] for row in expected], dtype=torch.float64))
    assert labels.tolist() == [row[1] for row in expected]
    torch.testing.assert_close(found, torch.tensor([row[2] for row in expected], dtype=torch.float64))


def test_soft_nms_keeps_a_neighbour_that_nms_removes():
    boxes = torch.tensor([[[0.0, 0, 10, 10]], [[0, 0, 10, 8]]])
    scores = torch.tensor([[0.9], [0.8]])
    assert len(multiclass_nms(boxes, scores, 0.05, 0.3)[0]) == 1
    assert multiclass_soft_nms(boxes, scores, SoftNMS("linear"), 0.05)[1].tolist() == pytest.approx([0.9, 0.16])
    assert len(multiclass_soft_nms(boxes, scores * 0, SoftNMS())[0]) == 0
    with pytest.raises(UserError, match="decay is 'hard'"):
        SoftNMS("hard")  # type: ignore[arg-type]
