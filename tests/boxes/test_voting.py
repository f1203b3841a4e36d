"""Box voting (App. B) by hand."""

from __future__ import annotations

import pytest
import torch

from helpers.appendix_b import random_boxes, slow_detections
from resdet.boxes.nms import multiclass_nms
from resdet.boxes.voting import vote


def test_voting_is_the_score_weighted_mean_of_the_boxes_of_the_class_with_iou_of_at_least_half():
    boxes, scores = random_boxes(60, 3)
    kept, values, labels = multiclass_nms(boxes, scores, 0.1, 0.3, 100)
    voted = vote(kept, labels, boxes, scores, 0.5)
    expected = slow_detections(boxes.tolist(), scores.tolist(), 0.1, 0.3, 0.5, 100)
    assert not torch.allclose(voted, kept)
    torch.testing.assert_close(values, torch.tensor([row[0] for row in expected], dtype=torch.float64))
    torch.testing.assert_close(
        voted, torch.tensor([row[2] for row in expected], dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_a_vote_counts_at_an_iou_of_exactly_half_and_only_within_its_class():
    kept = torch.tensor([[0.0, 0, 10, 10]])
    boxes = torch.tensor(
        [[[0.0, 0, 10, 10], [0, 0, 10, 10]], [[0, 0, 10, 5], [0, 0, 10, 9]], [[0, 0, 10, 4.9], [0, 0, 9, 9]]]
    )
    scores = torch.tensor([[0.6, 0.9], [0.2, 0.9], [0.9, 0.9]])
    assert vote(kept, torch.tensor([0]), boxes, scores, 0.5)[0].tolist() == pytest.approx([0, 0, 10, (6 + 1) / 0.8])


def test_boxes_and_scores_that_are_not_finite_do_not_vote():
    kept, labels = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0])
    boxes = torch.tensor([[[0.0, 0, 10, 10]], [[float("nan")] * 4], [[0, 0, 10, 9]]])
    voted = vote(kept, labels, boxes, torch.tensor([[0.5], [0.9], [float("nan")]]))
    assert torch.equal(voted, kept)
    assert torch.equal(vote(kept, labels, boxes[:1], torch.zeros(1, 1)), kept)  # no score, no vote
