"""FasterRCNN: independence of the batch, images without objects, crowds, overfitting one image."""

import pytest
import torch

from helpers.detectors import make_detector, make_sample
from resdet.benchmarks.detector_stages import random_batch, random_detector
from resdet.boxes.geometry import pairwise_iou
from resdet.data.detection.loading import collate_detection
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Inference
from resdet.detection.roi_head import HeadSettings
from resdet.detection.rpn import RPNSettings
from resdet.errors import UserError
from resdet.nets.blocks import fold_for_inference
from resdet.nets.precise_bn import compute_statistics
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.recipes.sections import load_config
from resdet.structures import Batch

STEPS = 160  # of the overfitted image


def make_vgg_detector() -> FasterRCNN:
    """A detector on VGG-16 of 1/8 width whose biases would show if padding were not masked."""
    torch.manual_seed(0)
    rpn = RPNSettings(hidden=32, scales=(16, 32, 64), test_post_nms=50)
    head = HeadSettings(pooling="pool", bins=7, regions=32, score_floor=0.0)
    detector = FasterRCNN(VGG(16, None, width=0.125), 4, rpn, head, frozen_stages=2)
    for name, weights in detector.net.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weights, 0.1, 0.1)
    for layer in (detector.rpn.objectness, detector.rpn.deltas, detector.head.scores, detector.head.deltas):
        torch.nn.init.normal_(layer.weight, std=0.2)
    return detector


def assert_independent_of_batch(detector, wide, tall):
    """Compare the detections of a small image alone with those of the same image between `wide` and `tall`."""
    small = make_sample(101, 135)
    alone = Inference([detector]).detect(collate_detection([small]))[0]
    together = Inference([detector]).detect(collate_detection([wide, small, tall]))[1]
    assert len(alone) > 20
    torch.testing.assert_close(together.boxes, alone.boxes, atol=1e-3, rtol=0)
    torch.testing.assert_close(together.scores, alone.scores, atol=1e-4, rtol=0)
    assert torch.equal(together.labels, alone.labels)


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stride_on", ["1x1", "3x3"])
@pytest.mark.parametrize("pooling", ["align", "pool"])
def test_detections_of_an_image_do_not_depend_on_the_batch(depth, stride_on, pooling):
    detector = make_detector(depth, stride_on, pooling).eval()
    assert_independent_of_batch(detector, make_sample(120, 200, seed=1), make_sample(180, 90, seed=2))


def test_detections_of_vgg_do_not_depend_on_the_batch():
    detector = make_vgg_detector().eval()
    assert_independent_of_batch(detector, make_sample(123, 207, seed=1), make_sample(190, 90, seed=2))


def test_vgg_is_trained_on_images_of_different_sizes():
    wide, tall = make_sample(100, 140, [[10, 10, 60, 70]], seed=1), make_sample(170, 90, [[5, 20, 70, 120]], seed=2)
    losses = make_vgg_detector()(collate_detection([wide, tall]))
    torch.stack(list(losses.values())).sum().backward()


def test_vgg_shares_its_convolutions_and_trains_from_conv3_on():
    detector = make_vgg_detector()
    losses = detector(collate_detection([make_sample(100, 140, [[10, 10, 60, 70]])]))
    torch.stack(list(losses.values())).sum().backward()
    trained = {name.split(".")[0] for name, p in detector.net.named_parameters() if p.grad is not None}
    assert trained == {"conv3", "conv4", "conv5", "fc6", "fc7"}  # conv1 and conv2 stay, as in the authors' code
    features = detector.trunk(collate_detection([make_sample(101, 175)]))
    assert features.map.shape == (1, 64, 6, 10)  # an eighth of 512 channels, stride 16
    with pytest.raises(UserError, match="the net's head reads 7x7 cells"):
        FasterRCNN(VGG(16, None, width=0.125), 4, head=HeadSettings(bins=14))


def test_boxes_are_in_pixels_of_the_original_image():
    detector = make_detector().eval()
    sample, size, seed = make_sample(128, 192)
    same = Inference([detector]).detect(collate_detection([(sample, size, seed)]))[0]
    halved = Inference([detector]).detect(collate_detection([(sample, (64, 96), seed)]))[0]  # as if enlarged from 64x96
    torch.testing.assert_close(halved.boxes, same.boxes / 2, atol=1e-3, rtol=0)


def test_losses_do_not_depend_on_which_images_share_the_batch():
    detector = make_detector()
    items = [make_sample(100, 140, [[10, 10, 60, 70]]), make_sample(130, 110, [[5, 30, 100, 90]], seed=1)]
    together = detector(collate_detection(items))
    alone = [detector(collate_detection([item])) for item in items]
    for name in ("loss_rpn_objectness", "loss_rpn_box"):  # denominators are fixed an image
        torch.testing.assert_close(together[name], (alone[0][name] + alone[1][name]) / 2)


@pytest.mark.parametrize("boxes", [[], [[20, 20, 20, 60]], [[10, 10, 90, 90]]])
def test_images_without_objects_and_with_degenerate_boxes_can_be_trained_on(boxes):
    detector = make_detector()
    losses = detector(collate_detection([make_sample(96, 128, boxes)]))
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    assert total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in detector.parameters())
    if not boxes:
        assert losses["loss_rpn_box"] == 0
        assert losses["loss_box"] == 0
        assert losses["loss_class"] > 0


def test_an_image_with_200_objects_can_be_trained_on():
    corner = torch.rand(200, 2) * 80
    boxes = torch.cat([corner, corner + 5 + 20 * torch.rand(200, 2)], 1).tolist()
    losses = make_detector()(collate_detection([make_sample(128, 128, boxes)]))
    assert torch.stack(list(losses.values())).isfinite().all()


def test_a_crowd_is_neither_positive_nor_negative():
    detector = make_detector()
    whole = [[0, 0, 128, 128]]
    crowd = detector(collate_detection([make_sample(128, 128, whole, [True])]))
    empty = detector(collate_detection([make_sample(128, 128)]))
    assert crowd["loss_rpn_box"] == 0
    assert crowd["loss_box"] == 0
    assert crowd["loss_rpn_objectness"] < 0.5 * empty["loss_rpn_objectness"]  # the anchors inside are left out


def test_sampled_regions_have_a_quarter_of_foreground_at_most_and_valid_iou():
    detector = make_detector(foreground_fraction=0.25)
    batch = collate_detection([make_sample(128, 160, [[20, 20, 90, 100], [60, 40, 150, 120]])])
    features = detector.trunk(batch)
    proposals = detector.propose(features)
    regions = detector.head.sample(proposals.boxes, proposals.valid, batch)
    best = pairwise_iou(regions.boxes, batch.boxes).amax(-1)
    foreground = regions.labels < 4
    assert foreground.sum() <= 8
    assert (best[foreground] >= 0.5).all()
    assert (best[~foreground & regions.valid] < 0.5).all()


def test_a_folded_detector_gives_the_same_detections():
    detector = make_detector().eval()
    batch = collate_detection([make_sample(96, 128)])
    before = Inference([detector]).detect(batch)[0]
    after = Inference([fold_for_inference(detector)]).detect(batch)[0]
    torch.testing.assert_close(after.boxes, before.boxes, atol=1e-3, rtol=0)
    torch.testing.assert_close(after.scores, before.scores, atol=1e-4, rtol=0)


def test_frozen_stages_and_bn_get_no_gradient():
    detector = FasterRCNN(ResNet(18, None, width=0.125), 4)
    trained = {name.split(".")[1] for name, p in detector.net.named_parameters(prefix="net") if p.requires_grad}
    assert trained == {"conv3", "conv4", "conv5"}
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in detector.modules())


def test_unknown_pooling_is_named():
    with pytest.raises(UserError, match="pooling 'max' is unknown"):
        FasterRCNN(ResNet(18, None, width=0.125), 4, head=HeadSettings(pooling="max"))


def test_a_small_detector_overfits_one_image():
    torch.manual_seed(0)
    item = make_sample(96, 128, [[10, 10, 50, 60], [70, 30, 120, 90]])
    item[0].image[10:60, 10:50] = torch.tensor([250, 60, 20])
    item[0].image[30:90, 70:120] = torch.tensor([20, 60, 250])
    batch = collate_detection([item])
    net = ResNet(18, None, width=0.25)
    compute_statistics(net, [net.preprocess(batch.images)], 1)
    rpn = RPNSettings(hidden=32, scales=(32, 64), keep_border=True, train_post_nms=100, test_post_nms=20)
    detector = FasterRCNN(net, 4, rpn, HeadSettings(regions=16), frozen_stages=0)
    optimizer = torch.optim.SGD(detector.parameters(), 0.02, momentum=0.9)
    for step in range(STEPS):
        batch.seeds[:] = step
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / STEPS)
        optimizer.zero_grad()
        torch.stack(list(detector(batch).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 5)
        optimizer.step()
    found = Inference([detector.eval()]).detect(batch)[0].above(0.5)
    assert sorted(found.labels.tolist()) == [0, 1]
    assert pairwise_iou(found.boxes, batch.boxes[0][found.labels]).diagonal().min() > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("config", ["voc07_r50", "voc07_r101"])
def test_the_papers_detectors_train_at_a_small_size(config):
    detector = random_detector(load_config(config), proposals=8, mode="train").train()
    batch: Batch = random_batch(20, (128, 160), 1)
    optimizer = torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], 0.001, momentum=0.9)
    for _ in range(3):
        losses = torch.stack(list(detector(batch).values()))
        assert losses.isfinite().all()
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
