"""A compiled net gives the same results and trains the same weights."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch

from resdet.classification.classifier import Classifier
from resdet.data.detection.loading import collate_detection
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Inference
from resdet.detection.rpn import RPNSettings
from resdet.engine.compiled import compiled
from resdet.nets.resnet import ResNet
from resdet.structures import Batch, LabelledImages, Sample


def batch(*sizes: tuple[int, int]) -> Batch:
    """Images of noise with one object each."""
    torch.manual_seed(1)
    none = torch.zeros(1, dtype=torch.bool)
    box = torch.tensor([[5.0, 9, 60, 55]])
    samples = [
        Sample(torch.randint(256, (h, w, 3), dtype=torch.uint8), box, torch.tensor([1]), none, none, "noise")
        for h, w in sizes
    ]
    return collate_detection([(s, s.image.shape[:2], i) for i, s in enumerate(samples)])


def detector(depth: int) -> FasterRCNN:
    torch.manual_seed(0)
    rpn = RPNSettings(hidden=8, scales=(16, 32), train_post_nms=20, test_post_nms=20)
    return FasterRCNN(ResNet(depth, None, width=0.125), 3, rpn, frozen_stages=0)


def learn(model: FasterRCNN, images: Batch) -> list[torch.Tensor]:
    """Returns the losses and the gradients of their sum."""
    losses = model.train()(images)
    model.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    return [*(v.detach() for v in losses.values()), *(p.grad for p in model.parameters() if p.grad is not None)]


def test_trunk_and_head_are_captured_completely_and_give_the_same_results() -> None:
    model = detector(18)
    twin = copy.deepcopy(model)
    both = (batch((96, 128), (64, 64)), batch((64, 80), (64, 80)))  # padded, not padded
    with compiled(twin.net, backend="aot_eager", fullgraph=True, dynamic=True):
        results = [(learn(twin, images), Inference([twin.eval()]).detect(images)) for images in both]
    for images, (found, answers) in zip(both, results, strict=True):
        assert all(map(torch.equal, found, learn(model, images)))
        assert torch.equal(answers[0].boxes, Inference([model.eval()]).detect(images)[0].boxes)


def test_the_net_is_uncompiled_afterwards() -> None:
    net = ResNet(18, None, width=0.125)
    before, keys = net.trunk, set(net.state_dict())
    with compiled(net, backend="aot_eager"):
        assert net.trunk != before
        assert set(net.state_dict()) == keys
    assert net.trunk == before
    with compiled(net, mode=None):
        assert net.trunk == before


def test_a_classifier_compiles() -> None:
    torch.manual_seed(0)
    classifier = Classifier(ResNet(18, 3, width=0.125)).eval()
    labels = torch.tensor([0, 2])
    images = LabelledImages(torch.randint(256, (2, 3, 40, 40), dtype=torch.uint8), labels, labels, ["a", "b"])
    with compiled(classifier.net, backend="aot_eager", fullgraph=True):
        found = classifier(images)["loss_class"]
    assert torch.equal(found, classifier(images)["loss_class"])


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")
def test_generated_code_gives_the_same_results_within_rounding() -> None:
    model, images = detector(50), batch((96, 128), (64, 64))
    with compiled(model.net, dynamic=True):
        found = learn(model, images)
    for ours, theirs in zip(found, learn(model, images), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
