"""Comparison with reference files of detectron2: an R50-C4 at 1/8 width on one image, and one training step."""

import numpy as np
import pytest
import torch

from helpers.paths import SHARED
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Inference
from resdet.detection.roi_head import HeadSettings
from resdet.detection.rpn import RPNSettings
from resdet.nets.resnet import ResNet
from resdet.structures import Batch
from resdet.weights import names
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights

GOLDEN = SHARED / "golden"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden files are not part of the repository"),
]
FILES = ["detectron2_r50c4.pkl", "detectron2_r50c4.pth"]


def make_detector(file: str) -> FasterRCNN:
    """The detector with detectron2's options; all anchors and regions are sampled, so nothing is random."""
    rpn = RPNSettings(
        hidden=128,
        scales=(32, 64, 128, 256, 512),
        anchors_per_image=1_000_000,
        keep_border=True,
        beta=0.0,
        test_post_nms=100,
    )
    head = HeadSettings(regions=1_000_000, foreground_fraction=1.0, beta=0.0, nms_iou=0.5)
    detector = FasterRCNN(ResNet(50, None, width=0.125), 5, rpn, head)
    report = load_weights(detector, read_weights(GOLDEN / file))
    assert not report.missing
    assert not report.unexpected
    return detector


@pytest.fixture(scope="module")
def answers() -> dict[str, torch.Tensor]:
    return {k: torch.from_numpy(v) for k, v in np.load(GOLDEN / "detectron2_r50c4.npz").items()}


def make_batch(image_bgr: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor) -> Batch:
    size = torch.tensor([image_bgr.shape[1:]])
    return Batch(
        images=image_bgr.flip(0)[None],
        sizes=size,
        image_sizes=size,
        boxes=boxes[None],
        labels=labels[None],
        crowd=torch.zeros(1, len(labels), dtype=torch.bool),
        mask=torch.ones(1, len(labels), dtype=torch.bool),
        seeds=torch.zeros(1, dtype=torch.int64),
        padded=False,
        crowded=False,
        image_ids=["golden"],
    )


@pytest.mark.parametrize("file", FILES)
@torch.no_grad()
def test_every_intermediate_result_equals_detectron2s(file, answers):
    detector = make_detector(file).eval()
    batch = make_batch(answers["image_bgr"], torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    features = detector.trunk(batch)
    torch.testing.assert_close(features.map, answers["res4"], atol=1e-4, rtol=0)
    logits, deltas = detector.rpn.maps(features.map)
    torch.testing.assert_close(logits, answers["rpn_logits"], atol=1e-4, rtol=0)
    torch.testing.assert_close(deltas, answers["rpn_deltas"], atol=1e-4, rtol=0)
    proposals = detector.propose(features)
    torch.testing.assert_close(proposals.boxes[0], answers["proposals"], atol=1e-2, rtol=0)
    torch.testing.assert_close(proposals.scores[0], answers["proposal_logits"], atol=1e-4, rtol=0)
    class_logits, box_deltas = detector.head(detector.embed(features, answers["proposals"][None]))
    torch.testing.assert_close(class_logits[0], answers["cls_logits"], atol=1e-4, rtol=0)
    torch.testing.assert_close(box_deltas[0].flatten(1), answers["box_deltas"], atol=1e-4, rtol=0)
    found = Inference([detector]).detect(batch)[0]
    torch.testing.assert_close(found.boxes, answers["boxes"], atol=1e-2, rtol=0)
    torch.testing.assert_close(found.scores, answers["scores"], atol=1e-4, rtol=0)
    assert torch.equal(found.labels, answers["classes"])


def test_a_caffe2_file_gives_the_same_trunk(answers):
    net = ResNet(50, None, width=0.125)
    detector = FasterRCNN(net, 5)
    load_weights(detector, read_weights(GOLDEN / "caffe2_r50.pkl"), allow_missing=("rpn.", "head."))
    batch = make_batch(answers["image_bgr"], torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    with torch.no_grad():
        torch.testing.assert_close(detector.trunk(batch).map, answers["res4"], atol=1e-4, rtol=0)


def test_losses_and_gradients_of_a_training_step_equal_detectron2s(answers):
    golden = dict(np.load(GOLDEN / "detectron2_r50c4_train.npz"))
    detector = make_detector(FILES[0]).train()
    boxes, labels = torch.from_numpy(golden["gt_boxes"]), torch.from_numpy(golden["gt_classes"])
    losses = detector(make_batch(answers["image_bgr"], boxes, labels))
    assert losses["loss_rpn_objectness"].item() == pytest.approx(golden["loss_rpn_cls"], abs=1e-5)
    assert losses["loss_rpn_box"].item() == pytest.approx(golden["loss_rpn_loc"], abs=1e-5)
    assert losses["loss_class"].item() == pytest.approx(golden["loss_cls"], abs=1e-5)
    assert losses["loss_box"].item() == pytest.approx(golden["loss_box_reg"], abs=1e-5)

    torch.stack(list(losses.values())).sum().backward()
    parameters = dict(detector.named_parameters())
    gradients = {key[5:]: torch.from_numpy(g) for key, g in golden.items() if key.startswith("grad:")}
    assert len(gradients) == 8
    for name, gradient in gradients.items():
        ours = names.from_detectron2(name)
        found = parameters.get(ours, parameters.get(f"net.{ours}")).grad
        assert (found - gradient).norm() <= 1e-3 * gradient.norm(), name
