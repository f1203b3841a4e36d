"""Training a classifier is level with a plain loop over torchvision's ResNet: equal weights after equal steps."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from resdet.classification.classifier import Classifier
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run
from resdet.engine.schedule import MultiStep
from resdet.nets.resnet import ResNet
from resdet.structures import LabelledImages
from resdet.weights.export import to_torchvision
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights

MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
LR, MOMENTUM, DECAY, STEPS = 0.001, 0.9, 1e-4, 3  # at higher rates rounding errors grow tenfold per step


def test_steps_of_a_classifier_equal_those_of_a_plain_loop_over_torchvisions_resnet(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=5)
    torch.save(theirs.state_dict(), tmp_path / "start.pth")
    net = ResNet(depth=18, num_classes=5)
    load_weights(net, read_weights(tmp_path / "start.pth"))
    images = torch.randint(0, 256, (STEPS, 8, 3, 64, 64), dtype=torch.uint8)
    labels = torch.randint(0, 5, (STEPS, 8))

    model = Classifier(net)
    optimizer = build_sgd(model, LR, images=8, reference_images=8, momentum=MOMENTUM, weight_decay=DECAY)
    run = Run(tmp_path / "run", torch.device("cpu"), "fp32")
    run.work_dir.mkdir()
    batches = [
        LabelledImages(x, y, torch.arange(8), [str(i) for i in range(8)]) for x, y in zip(images, labels, strict=True)
    ]
    TrainLoop(model, optimizer, MultiStep(STEPS, milestones=(2,)), LoopSettings(), run).train(iter(batches))
    plain_loop(theirs, images, labels)

    ours = to_torchvision(net.state_dict())
    for name, expected in theirs.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(ours[name], expected, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def plain_loop(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """The loop of a tutorial: normalize, cross entropy, SGD; a tenth of the rate from step 2 on."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    model.train()
    for step, (x, y) in enumerate(zip(images, labels, strict=True)):
        optimizer.param_groups[0]["lr"] = LR if step < 2 else LR / 10
        optimizer.zero_grad()
        F.cross_entropy(model((x / 255 - MEAN) / STD), y).backward()
        optimizer.step()
