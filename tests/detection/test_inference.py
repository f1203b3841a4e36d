"""Inference with all of Appendix B: costs, defaults, precision, and settings that are refused."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from helpers.appendix_b import SCALES, detector, one_image, pyramid, two_images
from resdet.boxes.geometry import pairwise_iou
from resdet.boxes.nms import multiclass_nms
from resdet.detection.inference import Inference, InferenceSettings
from resdet.detection.refinement import Refinement
from resdet.engine.precision import precision_context
from resdet.errors import UserError
from resdet.nets.blocks import fold_for_inference
from resdet.nets.resnet import ResNet

# Costs ----------------------------------------------------------------------------------------------------------------


def flops(work) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        work()
    return counter.get_total_flops()


def test_refinement_costs_one_head_and_several_scales_cost_two_heads_and_their_trunks(monkeypatch):
    monkeypatch.setattr(ResNet, "head_entry", None)  # a region costs the same on every scale
    model, batch, images = detector(50), one_image(), pyramid((96, 128))
    features = model.trunk(batch)
    regions = model.propose(features).boxes
    head = flops(lambda: model.predict(model.embed(features, regions), regions, batch.image_sizes))
    plain = flops(lambda: Inference([model]).detect(batch))
    assert flops(lambda: Inference([model], InferenceSettings(refinement=Refinement())).detect(batch)) == plain + head
    several = Inference([model], InferenceSettings(scales=SCALES, proposal_scales=(96,), region_side=56))
    trunks = [flops(lambda level=level: model.trunk(level)) for level in images.levels]
    rest = plain - head - trunks[SCALES.index(96)]  # the RPN, on one level
    assert flops(lambda: several.detect(images)) <= sum(trunks) + rest + 2 * head


# Settings -------------------------------------------------------------------------------------------------------------


def test_the_plain_test_is_the_four_functions_and_nms():
    model, batch = detector(), two_images()
    with torch.inference_mode():
        features = model.trunk(batch)
        regions, _, valid = model.propose(features)
        scores, boxes = model.predict(model.embed(features, regions), regions, batch.image_sizes)
    s = model.head.settings
    for i, found in enumerate(Inference([model]).detect(batch)):
        own = boxes[i][valid[i]], scores[i, :, :-1][valid[i]]
        kept, values, labels = multiclass_nms(*own, s.score_floor, s.nms_iou, s.max_detections)
        assert torch.equal(found.boxes, kept)
        assert torch.equal(found.scores, values)
        assert torch.equal(found.labels, labels)


def test_all_of_appendix_b_folded_in_bf16_finds_what_fp32_finds():
    testing = InferenceSettings(refinement=Refinement(), scales=SCALES, region_side=56, flip=True)
    images = pyramid((96, 128), (80, 90))
    wide = Inference([detector(18, context=True), detector(50)], testing, short=96).detect(images)
    folded = [fold_for_inference(m, torch.bfloat16) for m in (detector(18, context=True), detector(50))]
    with precision_context("bf16", torch.device("cpu")):
        narrow = Inference(folded, testing, short=96).detect(images)
    for one, other in zip(wide, narrow, strict=True):
        assert other.boxes.dtype == torch.float32
        same = (one.labels[:10, None] == other.labels) & (pairwise_iou(one.boxes[:10], other.boxes) > 0.9)
        close = same & ((one.scores[:10, None] - other.scores).abs() < 0.05)
        assert close.any(1).sum() >= 6  # of random weights a few are suppressed by others in bf16


def test_invalid_settings_are_named():
    with pytest.raises(UserError, match="short sides in ascending order"):
        InferenceSettings(scales=(600, 400))
    with pytest.raises(UserError, match="600 is not among"):
        InferenceSettings(scales=(400, 800), proposal_scales=(600,))
    with pytest.raises(UserError, match="at least 1"):
        Refinement(rounds=0)
    assert InferenceSettings(scales=(200, 400, 600, 800, 1000)).proposal_levels(600) == [2]
    assert InferenceSettings(scales=(200, 400, 800), proposal_scales=(400, 800)).proposal_levels(600) == [1, 2]
