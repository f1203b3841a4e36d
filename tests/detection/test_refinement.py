"""Iterative box refinement (App. B) against a literal version."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from helpers.appendix_b import assert_same, detector, one_image, slow_refined
from resdet.detection.inference import Inference, InferenceSettings
from resdet.detection.refinement import Predictions, Refinement, best_boxes, refine


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("depth", [18, 50])
def test_refinement_equals_its_literal_version(depth, rounds):
    model, settings = detector(depth), Refinement(rounds=rounds)
    found = Inference([model], InferenceSettings(refinement=settings)).detect(one_image())[0]
    assert len(found) > 20
    assert_same(found, slow_refined(model, one_image(), settings))


def test_without_deltas_and_voting_refinement_changes_no_box():
    model = detector()
    torch.nn.init.zeros_(model.head.deltas.weight)
    model.head.settings = replace(model.head.settings, nms_iou=0.3)
    plain = Inference([model]).detect(one_image())[0]
    refined = Inference([model], InferenceSettings(refinement=Refinement(voting_iou=None))).detect(one_image())[0]
    torch.testing.assert_close(refined.boxes, plain.boxes, atol=1e-4, rtol=0)
    torch.testing.assert_close(refined.scores, plain.scores, atol=1e-6, rtol=0)


def test_the_boxes_of_several_classes_can_be_pooled_again():
    found = Predictions(
        torch.tensor([[[0.1, 0.5, 0.3, 0.1]]]), torch.arange(12.0).reshape(1, 1, 3, 4), torch.tensor([[True]])
    )
    boxes, valid = best_boxes(found, 2)
    assert boxes[0].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert valid.tolist() == [[True, True]]
    model, batch = detector(), one_image()
    features = model.trunk(batch)
    proposals = model.propose(features)
    first = Predictions(
        *model.predict(model.embed(features, proposals.boxes), proposals.boxes, batch.image_sizes), proposals.valid
    )
    united = refine(model, features, first, batch.image_sizes, Refinement(classes=3))
    assert united.scores.shape[1] == 4 * proposals.boxes.shape[1]
