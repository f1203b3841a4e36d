"""Global context (App. B)."""

from __future__ import annotations

import torch

from helpers.appendix_b import detector, pyramid, two_images
from helpers.detectors import make_sample
from resdet.data.detection.loading import collate_detection
from resdet.detection.context import with_context_columns
from resdet.detection.inference import Inference
from resdet.detection.multiscale import MultiScale


def test_context_is_concatenated_to_the_vector_of_each_region():
    model, batch = detector(context=True), two_images()
    features = model.trunk(batch)
    regions = model.propose(features).boxes
    vectors = model.embed(features, regions)
    assert model.head.scores.in_features == vectors.shape[-1] == 2 * model.net.channels
    own = model.vectors(features, regions)
    torch.testing.assert_close(vectors[..., : own.shape[-1]], own)
    for i, (height, width) in enumerate(batch.image_sizes.tolist()):
        whole = model.vectors(features, torch.tensor([[[0.0, 0, width, height]]] * 2))[i, 0]
        torch.testing.assert_close(vectors[i, :, own.shape[-1] :], whole.expand(regions.shape[1], -1))


def test_context_from_zero_columns_equals_the_plain_detector():
    plain, wide = detector(), detector(context=True)
    wide.load_state_dict(with_context_columns(plain.state_dict(), wide.head.scores.in_features))
    before, after = Inference([plain]).detect(two_images()), Inference([wide]).detect(two_images())
    for one, other in zip(before, after, strict=True):
        assert len(one) > 20
        torch.testing.assert_close(other.boxes, one.boxes, atol=1e-4, rtol=0)
        torch.testing.assert_close(other.scores, one.scores, atol=1e-6, rtol=0)


def test_with_several_scales_the_context_comes_from_the_scale_of_the_proposals():
    model, images = detector(context=True), pyramid((96, 128))
    multi = MultiScale(model, [2], side=56)
    features = multi.trunk(images)
    regions = multi.propose(features).boxes
    vectors = multi.embed(features, regions)
    context = model.embed(features[2], regions)[..., model.net.channels :]
    torch.testing.assert_close(vectors[..., model.net.channels :], context, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(vectors, model.embed(features[2], regions), atol=1e-3)


def test_context_is_trained_end_to_end():
    model = detector(context=True).train()
    batch = collate_detection([make_sample(96, 128, [[10, 10, 60, 70]])])
    torch.stack(list(model(batch).values())).sum().backward()
    new = model.head.scores.weight.grad[:, model.net.channels :]
    assert new.abs().sum() > 0
