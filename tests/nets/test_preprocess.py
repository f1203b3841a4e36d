"""Normalization and padding: an image gives the same features alone and in a padded batch."""

from __future__ import annotations

import itertools

import pytest
import torch

from helpers.resnets import noise, small_net
from resdet.nets.frozen_bn import freeze_batch_norm
from resdet.nets.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess


@pytest.mark.parametrize(
    ("depth", "stride_on", "pool1"), list(itertools.product((18, 50), ("1x1", "3x3"), ("pad", "ceil")))
)
@pytest.mark.parametrize("frozen", [True, False])
def test_an_image_gives_the_same_features_alone_and_in_a_padded_batch(
    depth: int, stride_on: str, pool1: str, frozen: bool
) -> None:
    net = small_net(depth, stride_on=stride_on, pool1=pool1)
    if frozen:
        freeze_batch_norm(net)
    net.double()  # so that a wrong border cannot hide in rounding
    sizes = torch.tensor([[64, 96], [50, 81], [61, 33], [33, 96]])
    images = noise(4, 3, 64, 96)  # the padding is noise too: nothing outside may be read
    with torch.no_grad():
        together = net.trunk(net.preprocess(images, sizes).double(), sizes)
        cells = net.trunk_cells(sizes)
        for i, (height, width) in enumerate(sizes.tolist()):
            alone = net.trunk(net.preprocess(images[i : i + 1, :, :height, :width]).double())
            h, w = cells[i].tolist()
            assert alone.shape[2:] == (h, w)
            torch.testing.assert_close(together[i : i + 1, :, :h, :w], alone, rtol=1e-9, atol=1e-9)
            assert not together[i, :, h:].any()
            assert not together[i, :, :, w:].any()


def test_preprocess_normalises_and_then_pads_with_zeros() -> None:
    images = noise(2, 3, 4, 6)
    out = Preprocess()(images, torch.tensor([[4, 6], [3, 2]]))
    expected = (images[1, :, :3, :2].float() - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[
        :, None, None
    ]
    torch.testing.assert_close(out[1, :, :3, :2], expected)
    assert not out[1, :, 3:].any()
    assert not out[1, :, :, 2:].any()
    torch.testing.assert_close(out[:1], Preprocess()(images[:1]))
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_mean_and_std_travel_with_the_weights() -> None:
    caffe = Preprocess((1.0, 2.0, 3.0), (1.0, 1.0, 1.0))
    other = Preprocess()
    other.load_state_dict(caffe.state_dict())
    assert other(torch.full((1, 3, 1, 1), 5, dtype=torch.uint8)).flatten().tolist() == [4, 3, 2]
