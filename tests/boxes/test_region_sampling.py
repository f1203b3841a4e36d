"""RoI-centric sampling (App. C): which regions are positive, and which are drawn from all images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from resdet.boxes.region_sampling import RegionPools, label_regions, sample_regions
from resdet.draws import draw_seeds


def test_a_region_is_positive_from_an_iou_of_a_half_on() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [50, 50, 60, 60]]] * 3)
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    proposals = torch.tensor([[[0.0, 0, 10, 5], [0, 0, 10, 4.9], [50, 51, 60, 60], [0, 0, 10, 10]]]).expand(3, -1, -1)
    valid = torch.tensor([True, True, True, False]).expand(3, -1)
    labels, objects, _ = label_regions(proposals, valid, boxes, mask)
    assert labels.tolist() == [[1, 0, 1, -1], [1, 0, 0, -1], [-1, -1, -1, -1]]
    assert objects[0].tolist() == [0, 0, 1, 0]


def random_labels(images: int = 40, regions: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(-1, 2, (images, regions), generator=generator).to(torch.int8)
    labels[5] = -1  # an image without boxes
    return labels


@pytest.mark.parametrize("kind", [0, 1])
def test_the_pools_contain_every_region_of_a_label_once(kind: int) -> None:
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
