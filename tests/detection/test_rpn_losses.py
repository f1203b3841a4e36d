"""On resized photographs the RPN has the same positive and negative anchors as torchvision's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from resdet.benchmarks.torchvision_peer import peer_inputs, torchvision_peer
from resdet.data.detection.loading import collate_detection
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.detection.rpn import RPNSettings
from resdet.nets.resnet import ResNet
from resdet.structures import Batch, Sample

EVERY_ANCHOR = 10_000  # more than there are: nothing is left to chance


def photograph(
    boxes: list[list[float]], size: tuple[int, int] = (200, 300), original: tuple[int, int] = (427, 640)
) -> Batch:
    """An image of noise; resized from 427x640 to 200x300, boxes and anchors meet at no whole pixel."""
    torch.manual_seed(0)
    flags = torch.zeros(len(boxes), dtype=torch.bool)
    pixels = torch.randint(256, (*size, 3), dtype=torch.uint8)
    sample = Sample(pixels, torch.tensor(boxes), torch.zeros(len(boxes), dtype=torch.int64), flags, flags, "photo")
    return collate_detection([(sample, original, 0)])


@pytest.mark.parametrize(
    "boxes",
    [
        [[300.0, 170, 380, 260]],  # inside of many anchors, with the same IoU each
        [[31.0, 17, 611, 402]],  # around many anchors
        [[300.0, 170, 380, 260], [100, 100, 133, 171], [310, 180, 500, 300]],
    ],
)
def test_the_rpns_losses_over_all_anchors_are_torchvisions(boxes: list[list[float]]) -> None:
    torch.manual_seed(0)
    rpn = RPNSettings(hidden=256, scales=(32, 64, 128), keep_border=True, anchors_per_image=EVERY_ANCHOR)
    model = FasterRCNN(ResNet(18, None), 3, rpn, HeadSettings(background_iou=0.0, beta=1 / 9), frozen_stages=0).train()
    batch = photograph(boxes)
    images, targets = peer_inputs(batch)
    peer = torchvision_peer(model).train()
    ours, theirs = model(batch), peer(images, targets)
    # Ours are divided by anchors_per_image, torchvision's by the sampled anchors: not so their proportion.
    proportion = theirs["loss_rpn_box_reg"] / theirs["loss_objectness"]
    assert (ours["loss_rpn_box"] / ours["loss_rpn_objectness"]).item() == pytest.approx(proportion.item(), rel=1e-4)


def test_the_anchors_inside_an_image_do_not_depend_on_its_original_size() -> None:
    """Several end at the border exactly; without objects the loss is a sum over all inside."""
    torch.manual_seed(0)
    rpn = RPNSettings(hidden=8, scales=(32, 64), anchors_per_image=EVERY_ANCHOR)
    model = FasterRCNN(ResNet(18, None, width=0.125), 3, rpn, frozen_stages=0).train()
    plain = photograph([[0.0, 0, 0, 0]], size=(192, 320), original=(192, 320))
    plain.mask.fill_(False)
    expected = model(plain)["loss_rpn_objectness"]
    for height, width in ((246, 407), (249, 415), (382, 634), (495, 825)):
        loss = model(replace(plain, image_sizes=torch.tensor([[height, width]])))["loss_rpn_objectness"]
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
