"""Warped crops of regions (App. C): their pixels, their context, and what lies outside the image."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from helpers.regions import photo
from resdet.localization.warping import warp_regions, with_context


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
