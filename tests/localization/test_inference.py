"""Localizers at test time: crops and their boxes, the dense test by plain loops, the baseline, ensembles of RPNs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from helpers.host_sync import HostSyncs
from helpers.localizers import best_boxes, make_class_rpn, make_localization_batch, total_loss
from resdet.boxes.geometry import area, pairwise_iou
from resdet.errors import UserError
from resdet.localization.class_rpn import ClassRPN
from resdet.localization.crop_regression import CropRegression, largest_boxes
from resdet.localization.crops import MappedCrops
from resdet.localization.ensemble import unite
from resdet.localization.inference import (
    Candidates,
    ClassProposals,
    class_proposals,
    keep_best,
    vote_for,
)
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG

HEIGHT, WIDTH = 90, 130  # of the image in its own pixels


def pixels(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def dense_crops() -> list[MappedCrops]:
    """One image at three scales, one of them a crop, each with its mirror image."""
    sizes = torch.tensor([[HEIGHT, WIDTH]])
    whole, large = MappedCrops.of(pixels(1, 3, 64, 92), sizes), MappedCrops.of(pixels(1, 3, 108, 156, seed=1), sizes)
    crop = MappedCrops.of(pixels(1, 3, 64, 64, seed=2), sizes, torch.tensor([[72, 104]]), torch.tensor([[4, 20]]))
    return [whole, large, crop, *(crop.mirrored() for crop in (whole, large, crop))]


# Crops ---------------------------------------------------------------------------------------------------------------


def test_boxes_of_a_crop_are_mapped_back_to_the_image() -> None:
    sizes, resized = torch.tensor([[100, 300], [200, 100]]), torch.tensor([[50, 150], [128, 64]])
    corners = torch.tensor([[1, 40], [30, 0]])
    boxes = torch.tensor([[[100.0, 10, 180, 70]], [[10, 60, 80, 120]]])
    scale = torch.tensor([0.5, 0.64])[:, None, None]
    seen = boxes * scale - corners.flip(-1).repeat(1, 2)[:, None]  # resized, then cropped
    crop = MappedCrops.of(pixels(2, 3, 48, 64), sizes, resized, corners)
    torch.testing.assert_close(crop.to_image(seen), boxes)
    mirrored = torch.stack([64 - seen[..., 2], seen[..., 1], 64 - seen[..., 0], seen[..., 3]], -1)
    torch.testing.assert_close(crop.mirrored().to_image(mirrored), boxes)
    assert torch.equal(crop.mirrored().images, crop.images.flip(3))
    assert crop.mirrored().mirrored().flipped is False
    # More leading dimensions, and what lies outside of the image is cut.
    assert crop.to_image(torch.tensor([-1e4, -1e4, 1e4, 1e4]).expand(2, 5, 3, 4))[0, 0, 0].tolist() == [0, 0, 300, 100]


def test_a_whole_image_needs_only_its_size() -> None:
    crop = MappedCrops.of(pixels(2, 3, 40, 60), torch.tensor([[80, 90], [20, 30]]))
    boxes = crop.to_image(torch.tensor([[[15.0, 10, 30, 20]]]).expand(2, -1, -1))
    torch.testing.assert_close(boxes[:, 0], torch.tensor([[22.5, 20, 45, 40], [7.5, 5, 15, 10]]))


# Dense testing -------------------------------------------------------------------------------------------------------


def literal_candidates(model: ClassRPN, crop: MappedCrops, label: int) -> list[tuple[float, list[float]]]:
    """(logit, box in image pixels) of every anchor, computed with scalars."""
    with torch.no_grad():
        map = model.net.conv5(model.net.trunk(model.net.preprocess(crop.images)))[0]
        objectness, deltas = (
            [*zip(*layer.of(torch.arange(45)), strict=True)] for layer in (model.objectness, model.deltas)
        )
    (height, width), (sx, sy) = crop.images.shape[-2:], crop.scale[0, :2].tolist()
    ox, oy = crop.offset[0, :2].tolist()
    found = []
    for y in range(map.shape[1]):
        for x in range(map.shape[2]):
            vector = map[:, y, x].double()
            for a, (scale, ratio) in enumerate((s, r) for s in model.settings.scales for r in (0.5, 1, 2)):
                row = label * 9 + a
                (score, score_bias), (delta, delta_bias) = objectness[row], deltas[row]
                logit = score[0].double() @ vector + score_bias[0]
                dx, dy, dw, dh = (delta.double() @ vector + delta_bias).tolist()
                w, h = scale / math.sqrt(ratio), scale * math.sqrt(ratio)
                cx, cy = 32 * x + dx * w, 32 * y + dy * h
                w, h = w * math.exp(min(dw, model.settings.clamp)), h * math.exp(min(dh, model.settings.clamp))
                x1, x2 = (min(max(v, 0), width) for v in (cx - w / 2, cx + w / 2))
                y1, y2 = (min(max(v, 0), height) for v in (cy - h / 2, cy + h / 2))
                if crop.flipped:
                    x1, x2 = width - x2, width - x1
                box = [x1 / sx + ox, y1 / sy + oy, x2 / sx + ox, y2 / sy + oy]
                box = [min(max(v, 0), limit) for v, limit in zip(box, (WIDTH, HEIGHT) * 2, strict=True)]
                if box[2] > box[0] and box[3] > box[1]:
                    found.append((logit.item(), box))
    return found


def literal_iou(a: list[float], b: list[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def literal_nms(found: list[tuple[float, list[float]]], iou: float) -> list[tuple[float, list[float]]]:
    kept: list[tuple[float, list[float]]] = []
    for logit, box in sorted(found, key=lambda pair: -pair[0]):
        if all(literal_iou(box, other) <= iou for _, other in kept):
            kept.append((logit, box))
    return kept


def test_dense_testing_equals_plain_loops() -> None:
    model, crops, labels = make_class_rpn().eval(), dense_crops(), torch.tensor([[3, 0]])
    proposals = class_proposals(model, crops, labels, count=20, nms_iou=0.6)
    boxes, scores = best_boxes(model, crops, labels)
    assert proposals.valid.all()
    for k, label in enumerate(labels[0].tolist()):
        slow = literal_nms([pair for crop in crops for pair in literal_candidates(model, crop, label)], 0.6)[:20]
        logits = torch.tensor([logit for logit, _ in slow])
        torch.testing.assert_close(proposals.scores[0, k], logits.sigmoid(), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(proposals.boxes[0, k], torch.tensor([box for _, box in slow]), atol=1e-2, rtol=0)
        assert torch.equal(boxes[0, k], proposals.boxes[0, k, 0])  # NMS keeps the best
        assert torch.equal(scores[0, k], proposals.scores[0, k, 0])


@pytest.mark.parametrize("iou", [0.3, 0.6])
def test_voting_is_the_weighted_mean_of_boxes_that_overlap_the_best(iou: float) -> None:
    model, crops, labels = make_class_rpn().eval(), dense_crops(), torch.tensor([[3, 1]])
    alone, scores = best_boxes(model, crops, labels)
    boxes, voted_scores = best_boxes(model, crops, labels, vote_iou=iou)
    assert torch.equal(voted_scores, scores)
    for k, label in enumerate(labels[0].tolist()):
        found = [pair for crop in crops for pair in literal_candidates(model, crop, label)]
        best = max(found, key=lambda pair: pair[0])[1]
        total_weight, mean, voters = 0.0, [0.0] * 4, 0
        for logit, box in found:
            if literal_iou(box, best) >= iou:
                weight = 1 / (1 + math.exp(-logit))
                total_weight += weight
                mean = [m + weight * c for m, c in zip(mean, box, strict=True)]
                voters += 1
        assert voters > 3
        torch.testing.assert_close(boxes[0, k], torch.tensor([m / total_weight for m in mean]), atol=0.05, rtol=0)
        assert (boxes[0, k] - alone[0, k]).abs().max() > 0.2


def test_the_votes_of_several_localizers_count_together() -> None:
    def part(boxes: list[list[float]], logits: list[float]) -> Candidates:
        return Candidates(torch.tensor(boxes)[None, None], torch.tensor(logits)[None, None])

    a = part([[0.0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 60, 60]], [math.log(3), 0.0, 5.0])  # .75, .5
    b = part([[0.0, 0, 8, 10], [0, 0, 0, 0], [math.nan, 0, 9, 9]], [0.0, 9.0, 9.0])
    best = torch.tensor([0.0, 0, 10, 10])[None, None]
    x, y = (0.75 * 10 + 0.5 * 10 + 0.5 * 8) / 1.75, (0.75 * 10 + 0.5 * 8 + 0.5 * 10) / 1.75
    both = Candidates.of_all([a, b])
    voted = vote_for(best, both.boxes, both.logits.sigmoid(), 0.5)
    torch.testing.assert_close(voted[0, 0], torch.tensor([0, 0, x, y]))
    assert vote_for(best + 200, a.boxes, a.logits.sigmoid(), 0.5).equal(best + 200)  # nobody agrees


def test_a_single_crop_is_the_one_crop_test() -> None:
    model, labels = make_class_rpn().eval(), torch.tensor([[1], [4]])
    crop = MappedCrops.of(pixels(2, 3, 64, 64), torch.tensor([[64, 64], [128, 128]]))
    boxes, _ = best_boxes(model, [crop], labels)
    logits, candidates = model.candidates(crop.images, labels)
    logits[area(candidates) == 0] = -math.inf  # outside of the crop
    for n in range(2):
        torch.testing.assert_close(boxes[n, 0], candidates[n, 0, logits[n, 0].argmax()] * (n + 1))


def test_slots_are_fixed_and_invalid_boxes_leave_them_empty() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [5, 5, 5, 9], [math.nan, 0, 9, 9], [20, 20, 30, 40]])
    scores = torch.tensor([1.0, 2, 9, 9, -1])
    best = keep_best(boxes[None, None], scores[None, None], count=4, nms_iou=0.7)
    assert best.valid.tolist() == [[[True, True, False, False]]]
    assert best.boxes[0, 0].tolist() == [[0, 0, 10, 9], [20, 20, 30, 40], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert best.scores[0, 0].tolist() == [2, -1, -math.inf, -math.inf]
    assert keep_best(boxes[None, None], scores[None, None], 4, nms_iou=None).scores[0, 0, :3].tolist() == [2, 1, -1]


def test_a_class_without_any_box_gets_the_whole_image() -> None:
    empty = ClassProposals(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3), torch.zeros(1, 2, 3, dtype=torch.bool))
    empty.valid[0, 1, 0] = True
    boxes, _ = empty.best(torch.tensor([[HEIGHT, WIDTH]]))
    assert boxes[0].tolist() == [[0, 0, WIDTH, HEIGHT], [0, 0, 0, 0]]


# The baseline: regression from the whole crop ------------------------------------------------------------------------


def test_of_several_objects_the_largest_is_learnt() -> None:
    boxes = torch.tensor([[[0.0, 0, 9, 9], [0, 0, 5, 20]], [[0, 0, 9, 9], [0, 0, 50, 50]], [[0, 0, 9, 9]] * 2])
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    chosen, present = largest_boxes(boxes, mask)
    assert chosen[:2].tolist() == [[0, 0, 5, 20], [0, 0, 9, 9]]
    assert present.tolist() == [True, True, False]
    assert not largest_boxes(boxes[:, :0], mask[:, :0])[1].any()


def regressors() -> list[CropRegression]:
    torch.manual_seed(0)
    return [
        CropRegression(ResNet(18, None, width=0.125), 5, frozen_bn=True),
        CropRegression(VGG(16, None, width=1 / 32), 5),
    ]


@pytest.mark.parametrize("which", [0, 1])
def test_crop_regression_learns_the_true_classes_box_with_the_crop_as_its_anchor(which: int) -> None:
    model, batch = regressors()[which].eval(), make_localization_batch(4, size=224 if which else 64)
    batch.mask[1:] = False  # one crop has boxes
    torch.nn.init.zeros_(model.deltas.common_weight)
    size = batch.images.shape[-1]
    assert model.predict(batch.images, batch.labels[:, None]).unique().tolist() == [0, size]  # no delta: the crop
    box = largest_boxes(batch.boxes, batch.mask)[0][0].tolist()
    w, h = box[2] - box[0], box[3] - box[1]
    deltas = [(box[0] + w / 2) / size - 0.5, (box[1] + h / 2) / size - 0.5, math.log(w / size), math.log(h / size)]
    expected = sum(abs(d) - 1 / 18 if abs(d) > 1 / 9 else 4.5 * d**2 for d in deltas) / 4  # over all four crops
    losses = model(batch)
    assert losses["loss_box"].item() == pytest.approx(expected, rel=1e-4)
    losses["loss_box"].backward()
    assert (model.deltas.bias.grad.abs().sum(1) > 0).tolist() == [True, False, False, False, False]  # type: ignore
    with torch.no_grad():
        model.deltas.bias[0, :] = torch.tensor(deltas)
    crop = MappedCrops.of(batch.images[:1], torch.tensor([[2 * size, 3 * size]]))
    found, _ = best_boxes(model, [crop], torch.tensor([[0, 1]]))
    torch.testing.assert_close(found[0, 0], torch.tensor(box) * torch.tensor([3.0, 2, 3, 2]), atol=1e-2, rtol=0)
    assert found[0, 1].tolist() == [0, 0, 3 * size, 2 * size]


def test_crop_regression_overfits_and_separates_classes() -> None:
    model, batch = regressors()[0].train(), make_localization_batch(6, size=64, classes=2)
    batch.mask[:, 1] = False
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    for _ in range(80):
        optimizer.zero_grad()
        total_loss(model(batch)).backward()
        optimizer.step()
    boxes = model.eval().predict(batch.images, batch.labels[:, None])
    assert pairwise_iou(boxes, batch.boxes[:, :1]).min() > 0.7


def test_a_step_of_crop_regression_never_synchronises() -> None:
    model, batch = regressors()[0], make_localization_batch()
    with HostSyncs() as waits:
        total_loss(model(batch)).backward()
    assert not waits.count


def test_a_net_with_fc_is_refused() -> None:
    with pytest.raises(UserError, match="num_classes=None"):
        CropRegression(ResNet(18, 5, width=0.125), 5)


# Ensembles of proposal networks --------------------------------------------------------------------------------------


def proposals_of(boxes: list[list[float]], scores: list[float]) -> ClassProposals:
    valid = torch.tensor(scores) > 0
    return ClassProposals(torch.tensor(boxes)[None, None], torch.tensor(scores)[None, None], valid[None, None])


def test_a_box_that_several_localizers_find_gets_their_mean_score() -> None:
    a = proposals_of([[0.0, 0, 10, 10], [50, 50, 90, 90], [0, 0, 0, 0]], [0.9, 0.8, 0.0])
    b = proposals_of([[51.0, 50, 90, 90], [200, 200, 220, 220], [0, 0, 9.5, 10]], [0.6, 0.5, 0.1])
    united = unite([a, b], count=4)
    assert united.scores[0, 0].tolist() == pytest.approx([0.7, 0.5, 0.25, 0.0])
    # The two nets agree most on the box near (50, 50); NMS drops one of two equal opinions.
    assert united.boxes[0, 0, :3].tolist() == [[50, 50, 90, 90], [0, 0, 10, 10], [200, 200, 220, 220]]
    assert united.valid.tolist() == [[[True, True, True, False]]]


def test_an_ensemble_of_one_changes_nothing() -> None:
    model = make_class_rpn().eval()
    alone = class_proposals(model, dense_crops(), torch.tensor([[2, 4]]), count=10)
    for got, expected in zip(unite([alone], count=10), alone, strict=True):
        assert torch.equal(got, expected)
    assert unite([alone, alone], count=None, nms_iou=None).boxes.shape == (1, 2, 20, 4)
