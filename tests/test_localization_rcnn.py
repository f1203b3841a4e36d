"""The R-CNN stage: what its crops are and how they are drawn, what it learns, how it rescores the RPN's boxes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resdet.boxes.coding import decode, encode
from resdet.boxes.geometry import clip_boxes, pairwise_iou
from resdet.draws import draw_seeds
from resdet.errors import UserError
from resdet.localization.ensemble import Mirrored, RCNNEnsemble
from resdet.localization.inference import ClassProposals
from resdet.localization.rcnn import LocalizationRCNN, RCNNSettings, RegionBatch, rescore
from resdet.localization.regions import RegionPools, label_regions, sample_regions, warp_regions, with_context
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from test_host_sync import Waits

SIZE = 48  # of the crops


def make_model(seed: int = 0, **settings: Any) -> LocalizationRCNN:
    torch.manual_seed(seed)
    model = LocalizationRCNN(ResNet(18, None, width=0.125), 4, RCNNSettings(**{"size": SIZE, **settings}))
    for layer in (model.scores, model.deltas):
        torch.nn.init.normal_(layer.weight, std=0.2)
    return model


def photo(height: int = 60, width: int = 90, seed: int = 0) -> Tensor:
    """Not noise: neighbours are alike, as in a photo."""
    coarse = torch.rand(1, 3, 6, 9, generator=torch.Generator().manual_seed(seed)) * 255
    return F.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(0, 255).to(torch.uint8)


def random_boxes(count: int, height: int = 60, width: int = 90, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([width, height]) * 0.6
    side = 10 + torch.rand(count, 2, generator=generator) * torch.tensor([width, height]) * 0.3
    return torch.cat([corner, corner + side], 1)


# Drawing regions -----------------------------------------------------------------------------------------------------


def test_a_region_is_positive_from_an_iou_of_a_half_on() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [50, 50, 60, 60]]] * 3)
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    proposals = torch.tensor([[[0.0, 0, 10, 5], [0, 0, 10, 4.9], [50, 51, 60, 60], [0, 0, 10, 10]]]).expand(3, -1, -1)
    valid = torch.tensor([True, True, True, False]).expand(3, -1)
    labels, objects = label_regions(proposals, valid, boxes, mask)
    assert labels.tolist() == [[1, 0, 1, -1], [1, 0, 0, -1], [-1, -1, -1, -1]]
    assert objects[0].tolist() == [0, 0, 1, 0]


def random_labels(images: int = 40, regions: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(-1, 2, (images, regions), generator=generator).to(torch.int8)
    labels[5] = -1  # an image without boxes
    return labels


@pytest.mark.parametrize("kind", [0, 1])
def test_the_pools_number_every_region_of_a_label_once(kind: int) -> None:
    labels = random_labels()
    pools = RegionPools(labels)
    image, region = pools.find(torch.arange(pools.count(kind)), kind)
    assert torch.equal(torch.stack([image, region], 1), (labels == kind).nonzero())


def test_regions_come_from_all_images_a_quarter_of_them_positive() -> None:
    labels = random_labels()
    pools, counts = RegionPools(labels), torch.zeros(labels.shape)
    for step in range(40):
        chosen = sample_regions(pools, draw_seeds(0, step, torch.arange(256)))
        assert chosen.valid.all()
        assert torch.equal(labels[chosen.image, chosen.region] == 1, chosen.positive)
        assert (labels[chosen.image, chosen.region] >= 0).all()
        assert chosen.positive.view(8, 32).sum(1).tolist() == [8] * 8  # so in every part of a batch
        counts.index_put_((chosen.image, chosen.region), torch.ones(256), accumulate=True)
    for kind, share in ((1, 64), (0, 192)):
        expected = 40 * share / pools.count(kind)
        assert (counts[labels == kind] - expected).abs().max() < 5 * expected**0.5
    assert not counts[labels == -1].any()


def test_a_draw_is_a_function_of_its_seed_and_slot() -> None:
    pools = RegionPools(random_labels())
    seeds = draw_seeds(1, 2, torch.arange(64))
    first, again = sample_regions(pools, seeds), sample_regions(pools, seeds)
    part = sample_regions(pools, seeds[:8])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a[:8], b) for a, b in zip(first, part, strict=True))
    assert not torch.equal(sample_regions(pools, seeds + 1).region, first.region)


def test_a_set_without_positives_leaves_their_slots_empty() -> None:
    chosen = sample_regions(RegionPools(torch.zeros(3, 5, dtype=torch.int8)), torch.arange(8))
    assert chosen.positive.tolist() == [False, False, False, True] * 2
    assert torch.equal(chosen.valid, ~chosen.positive)
    assert not sample_regions(RegionPools(torch.zeros(0, 5, dtype=torch.int8)), torch.arange(8)).valid.any()


# Warping -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [24, 60, 100])
def test_warping_the_whole_image_is_resizing_it(size: int) -> None:
    image = photo()
    warped = warp_regions(image, torch.tensor([[0.0, 0, 90, 60]]), size)
    resized = F.interpolate(image[None].float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
    assert (warped.float() - resized).abs().max() <= 0.51


def test_a_region_of_the_crops_own_size_is_cut_out() -> None:
    image = photo()
    crops = warp_regions(image, torch.tensor([[20.0, 7, 60, 47], [5, 10, 45, 50]]), 40)
    assert torch.equal(crops[0], image[:, 7:47, 20:60])
    assert torch.equal(crops[1], image[:, 10:50, 5:45])
    assert warp_regions(image, torch.zeros(0, 4), 40).shape == (0, 3, 40, 40)


def test_context_is_as_wide_as_asked_in_the_crop() -> None:
    image, regions = photo(), torch.tensor([[30.0, 20, 58, 48]])  # 28 pixels become 28, with 2 around: 14 of 224
    assert torch.equal(warp_regions(image, regions, 32, context=14)[0], image[:, 18:50, 28:60])
    assert with_context(torch.tensor([0.0, 0, 56, 28]), 28).tolist() == pytest.approx(
        [-28 / 3, -14 / 3, 196 / 3, 98 / 3]
    )


def test_beyond_the_image_is_the_mean_colour() -> None:
    image = photo()
    crop = warp_regions(image, torch.tensor([[-20.0, 30, 20, 70]]), 40)[0]
    assert torch.equal(crop[:, :30, 20:], image[:, 30:, :20])
    for outside in (crop[:, 30:], crop[:, :, :20]):
        assert outside.flatten(1).unique(dim=1)[:, 0].tolist() == [124, 116, 104]


def test_regions_without_area_or_outside_give_crops_all_the_same() -> None:
    regions = torch.tensor([[10.0, 10, 10, 10], [200, 200, 300, 300], [30, 30, 10, 10]])
    assert warp_regions(photo(), regions, 16).shape == (3, 3, 16, 16)


# Learning ------------------------------------------------------------------------------------------------------------


def make_batch() -> RegionBatch:
    """Crops of one image around an object of class 2; slots 6 and 7 are padding."""
    image, object_ = photo(), torch.tensor([20.0, 15, 60, 50])
    regions = torch.cat([object_ + torch.tensor([[0.0, 0, 0, 0], [5, 0, 5, 0]]), random_boxes(6)])
    positive = pairwise_iou(object_[None], regions)[0] >= 0.5
    targets = encode(object_.expand(8, -1), regions, (10, 10, 5, 5))
    valid = torch.arange(8) < 6
    crops = warp_regions(image, regions, SIZE)
    return RegionBatch(crops, torch.full((8,), 2), positive, targets, valid, torch.arange(8), ["photo"] * 8)


def test_losses_are_of_the_images_class_over_the_slots() -> None:
    model, batch = make_model(frozen_bn=True), make_batch()
    batch.targets[7] = float("nan")  # padding may hold anything
    losses = model(batch)
    vectors = model.net(model.net.preprocess(batch.images))
    (score, score_bias), (delta, delta_bias) = (layer.of(torch.tensor(2)) for layer in (model.scores, model.deltas))
    logits, deltas = vectors @ score[0] + score_bias[0], vectors @ delta.T + delta_bias
    expected_class, expected_box = torch.zeros(()), torch.zeros(())
    for b in range(6):
        sign = 1 if batch.positive[b] else -1
        expected_class += F.softplus(-sign * logits[b]) / 8
        if batch.positive[b]:
            expected_box += F.smooth_l1_loss(deltas[b], batch.targets[b], reduction="sum") / 8
    assert (batch.positive & batch.valid).sum() == 2 < batch.positive.sum()
    torch.testing.assert_close(losses["loss_class"], expected_class, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(losses["loss_box"], expected_box, atol=1e-5, rtol=1e-5)
    torch.stack(list(losses.values())).sum().backward()
    for layer in (model.scores, model.deltas):
        assert layer.weight.grad is not None
        assert (layer.weight.grad.abs().sum((1, 2)) > 0).tolist() == [False, False, True, False]
    assert len(batch.to("cpu")) == 8


def test_the_step_waits_for_nothing() -> None:
    model, batch = make_model(), make_batch()
    with Waits() as waits:
        torch.stack(list(model(batch).values())).sum().backward()
    assert not waits.count


def test_vgg_reads_crops_too_and_fc_is_refused() -> None:
    model = LocalizationRCNN(VGG(16, None, width=1 / 32), 3).eval()
    scores, deltas = model.predict(torch.zeros(2, 3, 224, 224, dtype=torch.uint8), torch.tensor([0, 2]))
    assert scores.shape == (2,)
    assert deltas.shape == (2, 4)
    with pytest.raises(UserError, match="num_classes=None"):
        LocalizationRCNN(ResNet(18, 3, width=0.125), 3)
    with pytest.raises(UserError, match="context is 112"):
        make_model(context=112)


# Testing -------------------------------------------------------------------------------------------------------------


def make_proposals() -> tuple[list[Tensor], ClassProposals, Tensor]:
    """Two images of different sizes, three classes each, five slots of which the last two are empty once."""
    images = [photo(), photo(70, 50, seed=1)]
    boxes = torch.stack([
        random_boxes(15).view(3, 5, 4), random_boxes(15, 70, 50, seed=1).view(3, 5, 4),
    ])  # fmt: skip
    boxes = torch.stack([clip_boxes(b, torch.tensor(i.shape[-2:])) for b, i in zip(boxes, images, strict=True)])
    valid = torch.ones(2, 3, 5, dtype=torch.bool)
    valid[1, 0, 3:] = False
    scores = torch.linspace(0.9, 0.1, 5).expand(2, 3, 5) * valid
    return images, ClassProposals(boxes * valid[..., None], scores, valid), torch.tensor([[0, 1, 2], [3, 2, 0]])


@pytest.mark.parametrize("combine", ["replace", "product", "odds", "keep"])
def test_rescoring_is_what_plain_loops_give(combine: Any) -> None:
    model = make_model().eval()
    images, proposals, labels = make_proposals()
    found = rescore(model, images, proposals, labels, combine, chunk=4)
    best, best_scores = found.best(torch.tensor([[60, 90], [70, 50]]))
    for n, image in enumerate(images):
        for k in range(3):
            slow = []
            for r in range(5):
                if not proposals.valid[n, k, r]:
                    continue
                region = proposals.boxes[n, k, r]
                score, deltas = model.predict(warp_regions(image, region[None], SIZE), labels[n, k][None])
                if combine == "product":
                    score = score * proposals.scores[n, k, r]
                if combine == "odds":
                    odds = [p / (1 - p) for p in (proposals.scores[n, k, r], score)]
                    score = 1 - 1 / (1 + odds[0] * odds[1].sqrt())
                if combine == "keep":
                    score = proposals.scores[n, k, r]
                box = decode(deltas, region[None], (10, 10, 5, 5))
                slow.append((score.item(), clip_boxes(box, torch.tensor(image.shape[-2:]))[0]))
            slow.sort(key=lambda pair: -pair[0])
            assert found.valid[n, k].tolist() == [True] * len(slow) + [False] * (5 - len(slow))
            assert found.scores[n, k, : len(slow)].tolist() == pytest.approx([score for score, _ in slow], rel=1e-4)
            expected = torch.stack([box for _, box in slow])
            torch.testing.assert_close(found.boxes[n, k, : len(slow)], expected, atol=1e-2, rtol=0)
            assert torch.equal(best[n, k], found.boxes[n, k, 0])
            assert torch.equal(best_scores[n, k], found.scores[n, k, 0])


def test_another_combination_is_refused() -> None:
    with pytest.raises(UserError, match="combine is 'mean'"):
        rescore(make_model(), *make_proposals(), combine="mean")  # type: ignore[arg-type]


def test_an_ensemble_averages_probabilities_and_boxes() -> None:
    models = [make_model(seed).eval() for seed in (0, 1)]
    crops, labels, regions = warp_regions(photo(), random_boxes(3), SIZE), torch.tensor([0, 3, 1]), random_boxes(3)
    scores, boxes = RCNNEnsemble(models).refine(crops, labels, regions)
    (score_a, box_a), (score_b, box_b) = (model.refine(crops, labels, regions) for model in models)
    torch.testing.assert_close(scores, (score_a + score_b) / 2)
    torch.testing.assert_close(boxes, (box_a + box_b) / 2)
    images, proposals, classes = make_proposals()
    together = rescore(RCNNEnsemble([models[0]] * 2), images, proposals, classes)
    torch.testing.assert_close(together.boxes, rescore(models[0], images, proposals, classes).boxes)
    with pytest.raises(UserError, match="one size and context"):
        RCNNEnsemble([models[0], make_model(size=64)])


def test_a_stage_in_the_mirror_answers_as_it_does_in_the_mirrored_image() -> None:
    model, image, regions, labels = make_model().eval(), photo(width=90), random_boxes(3), torch.tensor([0, 3, 1])

    def mirror(boxes: Tensor) -> Tensor:
        return torch.stack([90 - boxes[:, 2], boxes[:, 1], 90 - boxes[:, 0], boxes[:, 3]], 1)

    there = warp_regions(image.flip(-1), mirror(regions), SIZE)
    expected, boxes = model.refine(there, labels, mirror(regions))
    here = warp_regions(image, regions, SIZE)
    assert not torch.equal(here, there)
    scores, found = Mirrored(model).refine(here, labels, regions)
    torch.testing.assert_close(scores, expected, atol=5e-3, rtol=0)  # crops differ by a rounded pixel value at most
    torch.testing.assert_close(found, mirror(boxes), atol=0.1, rtol=0)
    assert (found - model.refine(here, labels, regions)[1]).abs().max() > 1


def test_the_stage_learns_to_prefer_and_to_improve_boxes_around_an_object() -> None:
    torch.manual_seed(0)
    image, object_ = photo(96, 96), torch.tensor([[24.0, 30, 66, 78]])
    image[:, 30:78, 24:66] = torch.tensor([240, 60, 20], dtype=torch.uint8)[:, None, None]
    shift = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * 9
    proposals = clip_boxes(object_ + shift, torch.tensor([96, 96]))[None]
    mask = torch.ones(1, 1, dtype=torch.bool)
    labels = label_regions(proposals, torch.ones(1, 200, dtype=torch.bool), object_[None], mask).labels
    crops, pools, model = warp_regions(image, proposals[0], SIZE), RegionPools(labels), make_model(frozen_bn=True)
    targets = encode(object_, proposals[0], model.settings.delta_weights)
    optimizer = torch.optim.Adam(model.parameters(), 0.002)
    for step in range(60):
        chosen = sample_regions(pools, draw_seeds(0, step, torch.arange(32)), positive_fraction=0.5)
        r = chosen.region
        batch = RegionBatch(
            crops[r], torch.full((32,), 1), chosen.positive, targets[r], chosen.valid, r, ["image"] * 32
        )
        optimizer.zero_grad()
        torch.stack(list(model(batch).values())).sum().backward()
        optimizer.step()
    found = ClassProposals(proposals[None], torch.full((1, 1, 200), 0.5), torch.ones(1, 1, 200, dtype=torch.bool))
    rescored = rescore(model.eval(), [image], found, torch.tensor([[1]]))
    before = pairwise_iou(object_, proposals[0])[0]
    after = pairwise_iou(object_, rescored.boxes[0, 0, :50])[0]  # of the 50 that it likes best
    assert before.mean() < 0.6
    assert after.mean() > 0.75
