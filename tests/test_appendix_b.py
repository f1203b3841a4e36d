"""Appendix B against slow, literal versions: plain loops over regions, boxes and nets of one image, in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from resdet.boxes.geometry import pairwise_iou
from resdet.boxes.nms import multiclass_nms
from resdet.boxes.proposals import Proposals, unite_proposals
from resdet.boxes.soft_nms import SoftNMS, multiclass_soft_nms
from resdet.boxes.voting import vote
from resdet.data.loading import collate_detection, collate_pyramid, resized
from resdet.data.transforms import Resizer
from resdet.detection.context import with_context_columns
from resdet.detection.ensemble import Ensemble
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.flipping import Flipped, mirror_boxes, mirror_views
from resdet.detection.inference import Tester, Testing
from resdet.detection.multiscale import MultiScale, nearest_levels
from resdet.detection.refinement import Predictions, Refinement, best_boxes, refine
from resdet.engine.precision import precision_context
from resdet.errors import UserError
from resdet.nets.blocks import fold_for_inference
from resdet.structures import Batch, Pyramid
from test_detector import make_detector, make_sample

SCALES = (48, 72, 96, 144)


def one_image(height: int = 96, width: int = 128, seed: int = 0) -> Batch:
    return collate_detection([make_sample(height, width, seed=seed)])


def two_images() -> Batch:
    return collate_detection([make_sample(96, 128), make_sample(80, 90, seed=1)])


def pyramid(*sizes: tuple[int, int], scales=SCALES) -> Pyramid:
    samples = [make_sample(*size, seed=i)[0] for i, size in enumerate(sizes)]
    return collate_pyramid([[resized(s, Resizer(96, 160).at(short)) for short in scales] for s in samples])


def detector(depth: int = 18, **head) -> FasterRCNN:
    """Random weights, and class scores that differ from region to region."""
    return make_detector(depth, **head).eval()


def random_boxes(count: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Clustered boxes [R, K, 4] and scores [R, K], in float64."""
    random = torch.Generator().manual_seed(seed)
    centre = torch.randint(1, 4, (count, classes, 2), generator=random) * 40.0
    corner = centre + torch.rand(count, classes, 2, generator=random, dtype=torch.float64) * 12
    side = 30 + torch.rand(count, classes, 2, generator=random, dtype=torch.float64) * 12
    scores = torch.rand(count, classes, generator=random, dtype=torch.float64)
    return torch.cat([corner, corner + side], -1), scores


# Literal versions ----------------------------------------------------------------------------------------------------


def slow_iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def slow_detections(boxes, scores, floor: float, nms: float, voting: float | None, most: int) -> list[tuple]:
    """(score, class, box) by falling score, of boxes [R][K][4] and scores [R][K]."""
    found = []
    for k in range(len(scores[0])):
        mine = sorted(((scores[r][k], boxes[r][k]) for r in range(len(boxes))), key=lambda pair: -pair[0])
        kept: list[tuple] = []
        for score, box in mine:
            if score > floor and all(slow_iou(box, other) <= nms for _, other in kept):
                kept.append((score, box))
        for score, box in kept:
            if voting is not None:
                voters = [(s, b) for s, b in mine if slow_iou(box, b) >= voting]
                total = sum(s for s, _ in voters)
                box = [sum(s * b[i] for s, b in voters) / total for i in range(4)]
            found.append((score, k, box))
    return sorted(found, key=lambda row: -row[0])[:most]


def slow_refined(model: FasterRCNN, batch: Batch, settings: Refinement) -> list[tuple]:
    """Each region on its own through the head, then each one's best box."""
    with torch.inference_mode():
        features = model.trunk(batch)
        proposals = model.propose(features)
        boxes, scores = [], []
        for region in proposals.boxes[0][proposals.valid[0]]:
            rows = region[None, None]
            for _ in range(1 + settings.rounds):
                s, b = model.predict(model.embed(features, rows), rows, features.image_sizes)
                boxes.append(b[0, 0].double().tolist())
                scores.append(s[0, 0, :-1].double().tolist())
                rows = b[0, 0, int(s[0, 0, :-1].argmax())][None, None]
    s = model.head.settings
    return slow_detections(boxes, scores, s.score_floor, settings.nms_iou, settings.voting_iou, s.max_detections)


def assert_same(found, expected: list[tuple]) -> None:
    torch.testing.assert_close(
        found.scores.double(), torch.tensor([row[0] for row in expected]).double(), atol=1e-5, rtol=0
    )
    assert found.labels.tolist() == [row[1] for row in expected]
    torch.testing.assert_close(
        found.boxes.double(), torch.tensor([row[2] for row in expected]).double(), atol=2e-3, rtol=0
    )


# Voting and Soft-NMS -------------------------------------------------------------------------------------------------


def test_voting_is_the_weighted_mean_of_the_class_s_boxes_from_an_iou_of_half_on():
    boxes, scores = random_boxes(60, 3)
    kept, values, labels = multiclass_nms(boxes, scores, 0.1, 0.3, 100)
    voted = vote(kept, labels, boxes, scores, 0.5)
    expected = slow_detections(boxes.tolist(), scores.tolist(), 0.1, 0.3, 0.5, 100)
    assert not torch.allclose(voted, kept)
    torch.testing.assert_close(values, torch.tensor([row[0] for row in expected], dtype=torch.float64))
    torch.testing.assert_close(
        voted, torch.tensor([row[2] for row in expected], dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_a_vote_counts_at_an_iou_of_exactly_half_and_not_for_another_class():
    kept = torch.tensor([[0.0, 0, 10, 10]])
    boxes = torch.tensor(
        [[[0.0, 0, 10, 10], [0, 0, 10, 10]], [[0, 0, 10, 5], [0, 0, 10, 9]], [[0, 0, 10, 4.9], [0, 0, 9, 9]]]
    )
    scores = torch.tensor([[0.6, 0.9], [0.2, 0.9], [0.9, 0.9]])
    assert vote(kept, torch.tensor([0]), boxes, scores, 0.5)[0].tolist() == pytest.approx([0, 0, 10, (6 + 1) / 0.8])


def test_nobody_votes_with_a_box_or_score_that_is_no_number():
    kept, labels = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0])
    boxes = torch.tensor([[[0.0, 0, 10, 10]], [[float("nan")] * 4], [[0, 0, 10, 9]]])
    voted = vote(kept, labels, boxes, torch.tensor([[0.5], [0.9], [float("nan")]]))
    assert torch.equal(voted, kept)
    assert torch.equal(vote(kept, labels, boxes[:1], torch.zeros(1, 1)), kept)  # no score, no vote


@pytest.mark.parametrize("soft", [SoftNMS("linear", iou=0.3), SoftNMS("gaussian", sigma=0.5)])
def test_soft_nms_lowers_scores_as_the_paper_s_loop(soft):
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


def test_soft_nms_keeps_a_neighbour_that_nms_drops():
    boxes = torch.tensor([[[0.0, 0, 10, 10]], [[0, 0, 10, 8]]])
    scores = torch.tensor([[0.9], [0.8]])
    assert len(multiclass_nms(boxes, scores, 0.05, 0.3)[0]) == 1
    assert multiclass_soft_nms(boxes, scores, SoftNMS("linear"), 0.05)[1].tolist() == pytest.approx([0.9, 0.16])
    assert len(multiclass_soft_nms(boxes, scores * 0, SoftNMS())[0]) == 0
    with pytest.raises(UserError, match="decay is 'hard'"):
        SoftNMS("hard")  # type: ignore[arg-type]


# Refinement ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("depth", [18, 50])
def test_refinement_is_its_literal_version(depth, rounds):
    model, settings = detector(depth), Refinement(rounds=rounds)
    found = Tester([model], Testing(refinement=settings)).detect(one_image())[0]
    assert len(found) > 20
    assert_same(found, slow_refined(model, one_image(), settings))


def test_without_deltas_and_voting_refinement_changes_no_box():
    model = detector()
    torch.nn.init.zeros_(model.head.deltas.weight)
    model.head.settings = replace(model.head.settings, nms_iou=0.3)
    plain = model.detect(one_image())[0]
    refined = Tester([model], Testing(refinement=Refinement(voting_iou=None))).detect(one_image())[0]
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


# Global context ------------------------------------------------------------------------------------------------------


def test_context_stands_beside_each_region_s_vector():
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
    before, after = plain.detect(two_images()), wide.detect(two_images())
    for one, other in zip(before, after, strict=True):
        assert len(one) > 20
        torch.testing.assert_close(other.boxes, one.boxes, atol=1e-4, rtol=0)
        torch.testing.assert_close(other.scores, one.scores, atol=1e-6, rtol=0)


def test_at_several_scales_the_image_is_seen_at_the_one_that_proposes():
    model, views = detector(context=True), pyramid((96, 128))
    multi = MultiScale(model, [2], side=56)
    features = multi.trunk(views)
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


# Several scales ------------------------------------------------------------------------------------------------------


def test_each_region_takes_the_maximum_of_its_two_nearest_scales():
    model, views, side = detector(), pyramid((96, 128)), 56.0
    multi = MultiScale(model, [2], side)
    features = multi.trunk(views)
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
    plain = model.detect(batch.levels[0])
    multi = Tester([model], Testing(scales=(96,))).detect(batch)
    for one, other in zip(plain, multi, strict=True):
        torch.testing.assert_close(other.boxes, one.boxes, atol=1e-4, rtol=0)
        torch.testing.assert_close(other.scores, one.scores, atol=1e-6, rtol=0)


def test_an_image_in_a_batch_of_pyramids_is_detected_as_alone():
    model = detector(context=True)
    tester = Tester([model], Testing(scales=SCALES, region_side=56, refinement=Refinement(), flip=True), short=96)
    together, alone = tester.detect(pyramid((120, 90), (96, 128)))[1], None
    sample = make_sample(96, 128, seed=1)[0]
    alone = tester.detect(collate_pyramid([[resized(sample, Resizer(96, 160).at(s)) for s in SCALES]]))[0]
    assert len(alone) > 20
    torch.testing.assert_close(together.boxes, alone.boxes, atol=1e-2, rtol=0)
    torch.testing.assert_close(together.scores, alone.scores, atol=1e-4, rtol=0)


def test_the_long_side_s_limit_scales_along():
    assert [Resizer(600, 1000).at(s).size(400, 1000) for s in (200, 600, 1000)] == [
        (133, 333),
        (400, 1000),
        (667, 1667),
    ]


def test_the_nearest_levels_are_adjacent_and_two():
    scales = torch.tensor([200, 400, 600, 800, 1000])[:, None, None].expand(-1, 1, 4) / 600
    sides = torch.tensor([30.0, 224, 400, 600])
    regions = torch.stack([torch.zeros(4), torch.zeros(4), sides, sides], -1)[None]
    assert nearest_levels(regions, scales, 224)[0].sort().values.tolist() == [[3, 4], [1, 2], [0, 1], [0, 1]]


def test_proposals_of_several_scales_are_united_by_nms():
    box = torch.tensor([[[0.0, 0, 10, 10], [50, 50, 60, 60]]])
    one = Proposals(box, torch.tensor([[2.0, 1.0]]), torch.tensor([[True, True]]))
    other = Proposals(box + 0.5, torch.tensor([[3.0, -torch.inf]]), torch.tensor([[True, False]]))
    united = unite_proposals([one, other], 0.7, 2)
    assert united.boxes[0].tolist() == [[0.5, 0.5, 10.5, 10.5], [50, 50, 60, 60]]
    assert united.scores[0].tolist() == [3, 1]
    model = detector()
    views = pyramid((96, 128))
    several = MultiScale(model, [1, 2, 3])
    assert several.propose(several.trunk(views)).boxes.shape == (1, 50, 4)


# Ensembles and flips -------------------------------------------------------------------------------------------------


def test_an_ensemble_averages_what_each_net_says_of_all_proposals():
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


def test_an_ensemble_of_a_detector_with_itself_is_the_detector_with_its_proposals_doubled():
    model, batch = detector(), one_image()
    twice = Tester([model, model]).detect(batch)[0]
    with torch.inference_mode():
        features = model.trunk(batch)
        doubled = model.propose(features).boxes.repeat(1, 2, 1)
        scores, boxes = model.predict(model.embed(features, doubled), doubled, batch.image_sizes)
        expected = model.head.detections(scores, boxes, torch.ones(doubled.shape[:2], dtype=torch.bool))[0]
    torch.testing.assert_close(twice.boxes, expected.boxes, atol=1e-4, rtol=0)
    torch.testing.assert_close(twice.scores, expected.scores, atol=1e-6, rtol=0)


def test_mirroring_twice_changes_nothing_and_keeps_the_padding():
    batch = two_images()
    mirrored = mirror_views(batch)
    assert torch.equal(mirrored.images[1, :, :80, :90], batch.images[1, :, :80, :90].flip(-1))
    assert not mirrored.images[1, :, :, 90:].any()
    assert torch.equal(mirror_views(mirrored).images, batch.images)
    boxes = torch.tensor([[[10.0, 0, 30, 5]], [[0, 0, 90, 80]]])
    assert mirror_boxes(boxes, batch.image_sizes).tolist() == [[[98, 0, 118, 5]], [[0, 0, 90, 80]]]


def test_flip_testing_is_the_mean_of_both_views():
    model, batch = detector(), one_image()
    flipped = Flipped(model)
    features = flipped.trunk(batch)
    regions = flipped.propose(features).boxes
    scores, boxes = flipped.predict(flipped.embed(features, regions), regions, batch.image_sizes)
    turned, there = mirror_views(batch), mirror_boxes(regions, batch.image_sizes)
    one = model.predict(model.embed(model.trunk(batch), regions), regions, batch.image_sizes)
    other = model.predict(model.embed(model.trunk(turned), there), there, batch.image_sizes)
    torch.testing.assert_close(scores, (one[0] + other[0]) / 2)
    torch.testing.assert_close(boxes, (one[1] + mirror_boxes(other[1], batch.image_sizes)) / 2)


# Costs ---------------------------------------------------------------------------------------------------------------


def flops(work) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        work()
    return counter.get_total_flops()


def test_refinement_costs_one_more_head_and_no_trunk_more_scales_two_heads_and_their_trunks():
    model, batch, views = detector(50), one_image(), pyramid((96, 128))
    features = model.trunk(batch)
    regions = model.propose(features).boxes
    head = flops(lambda: model.predict(model.embed(features, regions), regions, batch.image_sizes))
    plain = flops(lambda: model.detect(batch))
    assert flops(lambda: Tester([model], Testing(refinement=Refinement())).detect(batch)) == plain + head
    several = Tester([model], Testing(scales=SCALES, proposal_scales=(96,), region_side=56))
    trunks = [flops(lambda level=level: model.trunk(level)) for level in views.levels]
    rest = plain - head - trunks[SCALES.index(96)]  # the RPN, on one level
    assert flops(lambda: several.detect(views)) <= sum(trunks) + rest + 2 * head


# Settings ------------------------------------------------------------------------------------------------------------


def test_a_plain_test_is_the_detector_s_own():
    model, batch = detector(), two_images()
    for one, other in zip(model.detect(batch), Tester([model]).detect(batch), strict=True):
        assert torch.equal(one.boxes, other.boxes)
        assert torch.equal(one.scores, other.scores)


def test_all_together_folded_in_bf16_finds_what_fp32_does():
    testing = Testing(refinement=Refinement(), scales=SCALES, region_side=56, flip=True)
    views = pyramid((96, 128), (80, 90))
    wide = Tester([detector(18, context=True), detector(50)], testing, short=96).detect(views)
    folded = [fold_for_inference(m, torch.bfloat16) for m in (detector(18, context=True), detector(50))]
    with precision_context("bf16", torch.device("cpu")):
        narrow = Tester(folded, testing, short=96).detect(views)
    for one, other in zip(wide, narrow, strict=True):
        assert other.boxes.dtype == torch.float32
        same = (one.labels[:10, None] == other.labels) & (pairwise_iou(one.boxes[:10], other.boxes) > 0.9)
        close = same & ((one.scores[:10, None] - other.scores).abs() < 0.05)
        assert close.any(1).sum() >= 6  # of random weights a few are suppressed by others in bf16


def test_wrong_settings_are_named():
    with pytest.raises(UserError, match="short sides in rising order"):
        Testing(scales=(600, 400))
    with pytest.raises(UserError, match="600 is not among"):
        Testing(scales=(400, 800), proposal_scales=(600,))
    with pytest.raises(UserError, match="at least 1"):
        Refinement(rounds=0)
    assert Testing(scales=(200, 400, 600, 800, 1000)).proposal_levels(600) == [2]
    assert Testing(scales=(200, 400, 800), proposal_scales=(400, 800)).proposal_levels(600) == [1, 2]
