"""Regions of the R-CNN stage: labelling, sampling and warping."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.regions import photo
from resdet.draws import draw_seeds
from resdet.localization.regions import RegionPools, label_regions, sample_regions, warp_regions, with_context

# Sampling -------------------------------------------------------------------------------------------------------------


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


# Warping --------------------------------------------------------------------------------------------------------------


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


def test_outside_the_image_is_the_mean_colour() -> None:
    image = photo()
    crop = warp_regions(image, torch.tensor([[-20.0, 30, 20, 70]]), 40)[0]
    assert torch.equal(crop[:, :30, 20:], image[:, 30:, :20])
    for outside in (crop[:, 30:], crop[:, :, :20]):
        assert outside.flatten(1).unique(dim=1)[:, 0].tolist() == [124, 116, 104]


def test_regions_without_area_or_outside_the_image_give_crops() -> None:
    regions = torch.tensor([[10.0, 10, 10, 10], [200, 200, 300, 300], [30, 30, 10, 10]])
    assert warp_regions(photo(), regions, 16).shape == (3, 3, 16, 16)
