"""The R-CNN stage: losses, training, and rescoring of the RPN's boxes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.host_sync import HostSyncs
from helpers.regions import photo, random_boxes
from resdet.boxes.coding import decode, encode
from resdet.boxes.geometry import clip_boxes, pairwise_iou
from resdet.boxes.region_sampling import RegionPools, label_regions, sample_regions
from resdet.draws import draw_seeds
from resdet.errors import UserError
from resdet.localization.ensemble import Mirrored, RCNNEnsemble
from resdet.localization.inference import ClassProposals
from resdet.localization.rcnn import LocalizationRCNN, RCNNSettings, rescore
from resdet.localization.warping import warp_regions
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.structures import RegionBatch

SIZE = 48  # of the crops


def make_model(seed: int = 0, **settings: Any) -> LocalizationRCNN:
    torch.manual_seed(seed)
    model = LocalizationRCNN(ResNet(18, None, width=0.125), 4, RCNNSettings(**{"size": SIZE, **settings}))
    for layer in (model.scores, model.deltas):
        torch.nn.init.normal_(layer.weight, std=0.2)
    return model


# Training -------------------------------------------------------------------------------------------------------------


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


def test_a_step_never_synchronises() -> None:
    model, batch = make_model(), make_batch()
    with HostSyncs() as waits:
        torch.stack(list(model(batch).values())).sum().backward()
    assert not waits.count


def test_vgg_takes_crops_and_a_net_with_fc_is_refused() -> None:
    model = LocalizationRCNN(VGG(16, None, width=1 / 32), 3).eval()
    scores, deltas = model.predict(torch.zeros(2, 3, 224, 224, dtype=torch.uint8), torch.tensor([0, 2]))
    assert scores.shape == (2,)
    assert deltas.shape == (2, 4)
    with pytest.raises(UserError, match="num_classes=None"):
        LocalizationRCNN(ResNet(18, 3, width=0.125), 3)
    with pytest.raises(UserError, match="context is 112"):
        make_model(context=112)


# Testing --------------------------------------------------------------------------------------------------------------


def make_proposals() -> tuple[list[Tensor], ClassProposals, Tensor]:
    """Two images of different sizes with three classes and five slots each; two slots are empty once."""
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
def test_rescoring_equals_plain_loops(combine: Any) -> None:
    model = make_model().eval()
    images, proposals, labels = make_proposals()
    found = rescore(model, images, proposals, labels, (combine,), chunk=4)[combine]
    best, best_scores = found.best(torch.tensor([[60, 90], [70, 50]]))
    for n, image in enumerate(images):
        for k in range(3):
            slow = []
            for r in range(5):
                if not proposals.valid[n, k, r]:
                    continue
                region = proposals.boxes[n, k, r]
                score, deltas = model.predict(warp_regions(image, region[None], SIZE, 16), labels[n, k][None])
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


def test_an_unknown_combination_is_refused() -> None:
    with pytest.raises(UserError, match="combine is 'mean'"):
        rescore(make_model(), *make_proposals(), rules=("mean",))  # type: ignore[arg-type]


def test_an_ensemble_averages_probabilities_and_boxes() -> None:
    models = [make_model(seed).eval() for seed in (0, 1)]
    crops, labels, regions = warp_regions(photo(), random_boxes(3), SIZE), torch.tensor([0, 3, 1]), random_boxes(3)
    scores, boxes = RCNNEnsemble(models).refine(crops, labels, regions)
    (score_a, box_a), (score_b, box_b) = (model.refine(crops, labels, regions) for model in models)
    torch.testing.assert_close(scores, (score_a + score_b) / 2)
    torch.testing.assert_close(boxes, (box_a + box_b) / 2)
    images, proposals, classes = make_proposals()
    together = rescore(RCNNEnsemble([models[0]] * 2), images, proposals, classes)["replace"]
    torch.testing.assert_close(together.boxes, rescore(models[0], images, proposals, classes)["replace"].boxes)
    with pytest.raises(UserError, match="one size and context"):
        RCNNEnsemble([models[0], make_model(size=64)])


def test_the_mirrored_stage_gives_the_result_of_the_mirrored_image() -> None:
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


def test_the_stage_learns_to_rank_and_to_improve_boxes_around_an_object() -> None:
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
    rescored = rescore(model.eval(), [image], found, torch.tensor([[1]]))["replace"]
    before = pairwise_iou(object_, proposals[0])[0]
    after = pairwise_iou(object_, rescored.boxes[0, 0, :50])[0]  # of the 50 that it likes best
    assert before.mean() < 0.6
    assert after.mean() > 0.75
