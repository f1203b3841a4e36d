"""Ensembles and flip testing against plain loops over nets and mirror images."""

from __future__ import annotations

import torch

from helpers.appendix_b import detector, one_image, two_images
from resdet.detection.ensemble import Ensemble
from resdet.detection.flipping import Flipped, mirror_boxes, mirror_images
from resdet.detection.inference import Inference
from resdet.detection.refinement import Predictions


def test_an_ensemble_averages_the_predictions_of_each_net_for_all_proposals():
    models, batch = [detector(18), detector(50)], one_image()
    for layer in (models[1].head.scores, models[1].rpn.objectness):
        torch.nn.init.normal_(layer.weight, std=0.3)
    ensemble = Ensemble(models)
    features = ensemble.trunk(batch)
    regions = ensemble.propose(features).boxes
    scores, boxes = ensemble.predict(ensemble.embed(features, regions), regions, batch.image_sizes)
    own = [model.propose(model.trunk(batch)).boxes for model in models]
    assert torch.equal(regions, torch.cat(own, 1))
    for r in range(0, regions.shape[1], 7):
        row = regions[:, r : r + 1]
        answers = [m.predict(m.embed(m.trunk(batch), row), row, batch.image_sizes) for m in models]
        torch.testing.assert_close(scores[:, r], ((answers[0][0] + answers[1][0]) / 2)[:, 0], atol=1e-5, rtol=0)
        torch.testing.assert_close(boxes[:, r], ((answers[0][1] + answers[1][1]) / 2)[:, 0], atol=1e-3, rtol=0)


def test_a_detector_with_itself_as_ensemble_is_the_detector_with_doubled_proposals():
    model, batch = detector(), one_image()
    twice = Inference([model, model]).detect(batch)[0]
    with torch.inference_mode():
        features = model.trunk(batch)
        doubled = model.propose(features).boxes.repeat(1, 2, 1)
        scores, boxes = model.predict(model.embed(features, doubled), doubled, batch.image_sizes)
        everywhere = torch.ones(doubled.shape[:2], dtype=torch.bool)
        expected = Inference([model]).postprocess(Predictions(scores, boxes, everywhere))[0]
    torch.testing.assert_close(twice.boxes, expected.boxes, atol=1e-4, rtol=0)
    torch.testing.assert_close(twice.scores, expected.scores, atol=1e-6, rtol=0)


def test_mirroring_twice_changes_nothing_and_keeps_the_padding():
    batch = two_images()
    mirrored = mirror_images(batch)
    assert torch.equal(mirrored.images[1, :, :80, :90], batch.images[1, :, :80, :90].flip(-1))
    assert not mirrored.images[1, :, :, 90:].any()
    assert torch.equal(mirror_images(mirrored).images, batch.images)
    boxes = torch.tensor([[[10.0, 0, 30, 5]], [[0, 0, 90, 80]]])
    assert mirror_boxes(boxes, batch.image_sizes).tolist() == [[[98, 0, 118, 5]], [[0, 0, 90, 80]]]


def test_flip_testing_is_the_mean_of_both_views():
    model, batch = detector(), one_image()
    flipped = Flipped(model)
    features = flipped.trunk(batch)
    regions = flipped.propose(features).boxes
    scores, boxes = flipped.predict(flipped.embed(features, regions), regions, batch.image_sizes)
    turned, there = mirror_images(batch), mirror_boxes(regions, batch.image_sizes)
    one = model.predict(model.embed(model.trunk(batch), regions), regions, batch.image_sizes)
    other = model.predict(model.embed(model.trunk(turned), there), there, batch.image_sizes)
    torch.testing.assert_close(scores, (one[0] + other[0]) / 2)
    torch.testing.assert_close(boxes, (one[1] + mirror_boxes(other[1], batch.image_sizes)) / 2)
