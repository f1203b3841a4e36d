"""Multi-scale testing (App. B): each region takes the maximum of its two nearest scales."""

from __future__ import annotations

import torch

from helpers.appendix_b import SCALES, detector, pyramid
from helpers.detectors import make_sample
from resdet.boxes.proposals import Proposals, merge_proposals
from resdet.data.detection.loading import collate_pyramid, resize_sample
from resdet.data.transforms import Resizer
from resdet.detection.inference import Inference, InferenceSettings
from resdet.detection.multiscale import MultiScale, nearest_levels
from resdet.detection.refinement import Refinement


def test_each_region_takes_the_maximum_of_its_two_nearest_scales():
    model, images, side = detector(), pyramid((96, 128)), 56.0
    multi = MultiScale(model, [2], side)
    features = multi.trunk(images)
    corner = torch.arange(10.0)[None, :, None] * torch.tensor([2.0, 1])
    regions = torch.cat([corner, corner + torch.linspace(15, 85, 10)[None, :, None]], -1)  # squares of many sizes
    vectors = multi.embed(features, regions)
    used = set()
    for r, (x1, y1, x2, y2) in enumerate(regions[0].double().tolist()):
        distance = [abs((x2 - x1) * (y2 - y1) * (short / 96) ** 2 - side**2) for short in SCALES]
        pair = sorted(sorted(range(len(SCALES)), key=lambda level: distance[level])[:2])
        assert pair[1] - pair[0] == 1  # adjacent
        used.add(pair[0])
        alone = [model.vectors(features[level], regions[:, r : r + 1])[0, 0] for level in pair]
        torch.testing.assert_close(vectors[0, r], torch.maximum(*alone), atol=1e-5, rtol=1e-5)
    assert used == {0, 1, 2}


def test_one_scale_equals_the_plain_test():
    model = detector()
    batch = pyramid((96, 128), (80, 90), scales=(96,))
    plain = Inference([model]).detect(batch.levels[0])
    multi = Inference([model], InferenceSettings(scales=(96,))).detect(batch)
    for one, other in zip(plain, multi, strict=True):
        torch.testing.assert_close(other.boxes, one.boxes, atol=1e-4, rtol=0)
        torch.testing.assert_close(other.scores, one.scores, atol=1e-6, rtol=0)


def test_an_image_in_a_batch_of_pyramids_is_detected_as_alone():
    model = detector(context=True)
    settings = InferenceSettings(scales=SCALES, region_side=56, refinement=Refinement(), flip=True)
    inference = Inference([model], settings, short=96)
    together, alone = inference.detect(pyramid((120, 90), (96, 128)))[1], None
    sample = make_sample(96, 128, seed=1)[0]
    alone = inference.detect(collate_pyramid([[resize_sample(sample, Resizer(96, 160).at(s)) for s in SCALES]]))[0]
    assert len(alone) > 20
    torch.testing.assert_close(together.boxes, alone.boxes, atol=1e-2, rtol=0)
    torch.testing.assert_close(together.scores, alone.scores, atol=1e-4, rtol=0)


def test_the_limit_of_the_long_side_scales_with_the_short_side():
    assert [Resizer(600, 1000).at(s).size(400, 1000) for s in (200, 600, 1000)] == [
        (133, 333),
        (400, 1000),
        (667, 1667),
    ]


def test_a_region_has_two_adjacent_nearest_levels():
    scales = torch.tensor([200, 400, 600, 800, 1000])[:, None, None].expand(-1, 1, 4) / 600
    sides = torch.tensor([30.0, 224, 400, 600])
    regions = torch.stack([torch.zeros(4), torch.zeros(4), sides, sides], -1)[None]
    assert nearest_levels(regions, scales, 224)[0].sort().values.tolist() == [[3, 4], [1, 2], [0, 1], [0, 1]]


def test_proposals_of_several_scales_are_merged_by_nms():
    box = torch.tensor([[[0.0, 0, 10, 10], [50, 50, 60, 60]]])
    one = Proposals(box, torch.tensor([[2.0, 1.0]]), torch.tensor([[True, True]]))
    other = Proposals(box + 0.5, torch.tensor([[3.0, -torch.inf]]), torch.tensor([[True, False]]))
    united = merge_proposals([one, other], 0.7, 2)
    assert united.boxes[0].tolist() == [[0.5, 0.5, 10.5, 10.5], [50, 50, 60, 60]]
    assert united.scores[0].tolist() == [3, 1]
    model = detector()
    images = pyramid((96, 128))
    several = MultiScale(model, [1, 2, 3])
    assert several.propose(several.trunk(images)).boxes.shape == (1, 50, 4)
