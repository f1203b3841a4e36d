"""A small model of every family, with random weights and images, whose outputs do not depend on discrete choices.

Boxes after NMS may differ by one where two scores differ by a rounding. The models here are therefore given the same
regions on every device, and what is compared are maps, logits, boxes before NMS, losses and gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from resdet.classification.classifier import Classifier
from resdet.data.detection.loading import collate_detection
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.multiscale import MultiScale
from resdet.detection.refinement import Predictions, Refinement, refine
from resdet.detection.roi_head import HeadSettings
from resdet.detection.rpn import RPNSettings
from resdet.localization.class_rpn import ClassRPN, ClassRPNSettings
from resdet.nets.backbone import Backbone, Net
from resdet.nets.blocks import BasicBlock, Bottleneck
from resdet.nets.cifar_resnet import CifarResNet
from resdet.nets.frozen_bn import FrozenBatchNorm
from resdet.nets.ghost_bn import use_ghost_batches
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.structures import Batch, LabelledImages, LocalizationBatch, Pyramid, Sample

CLASSES, WIDTH, REGIONS, SIDE = 4, 0.125, 24, 96
BOXES = ([[5.0, 5, 60, 60], [20, 30, 90, 90], [50, 5, 120, 40]], [[10.0, 10, 50, 70], [30, 20, 100, 110]])


@dataclass(frozen=True)
class Family:
    """A model on the CPU, a batch for it, and its outputs by name; those named loss_* are differentiated."""

    name: str
    model: Callable[[], nn.Module]
    batch: Callable[[], Any]
    outputs: Callable[[Any, Any], dict[str, Tensor]]


def families() -> list[Family]:
    """All families."""
    narrow = partial(ResNet, num_classes=None, width=WIDTH)
    names = partial(ResNet, num_classes=CLASSES, width=WIDTH)
    images = partial(labelled, SIDE)
    return [
        Family("CIFAR ResNet-20", lambda: classifier(CifarResNet(20)), lambda: labelled(32), classify),
        Family("ResNet-18", lambda: classifier(names(18)), images, classify),
        Family("ResNet-50", lambda: classifier(names(50)), images, classify),
        Family("ResNet-50, ghost BN", _ghost, images, classify),
        Family("detector, RoIPool", lambda: detector(narrow(50), pooling="pool"), detection, detect),
        Family("detector, RoIAlign", lambda: detector(narrow(50)), detection, detect),
        Family("detector, context", lambda: detector(narrow(18), pooling="pool", context=True), detection, detect),
        Family("detector, VGG-16", _vgg, detection, detect),
        Family("multi-scale, refinement", lambda: detector(narrow(50), context=True).eval(), pyramid, improve),
        Family("localizer, per-class RPN", _localizer, localization, localize),
    ]


def classifier(net: Net) -> Classifier:
    """A classifier whose blocks are near their shortcuts: in a new one BN over few images blows roundings up."""
    for block in net.modules():
        if isinstance(block, BasicBlock | Bottleneck):
            nn.init.constant_(cast(nn.BatchNorm2d, block.last.bn).weight, 0.2)
    return Classifier(net)


def detector(net: Backbone, **head: Any) -> FasterRCNN:
    """A detector with random BN statistics and output layers: with those of a new one, nothing would matter."""
    rpn = RPNSettings(hidden=32, scales=(16, 32, 64), keep_border=True, anchors_per_image=64, test_post_nms=REGIONS)
    model = FasterRCNN(net, CLASSES, rpn, HeadSettings(regions=REGIONS, score_floor=0.0, **head), frozen_stages=0)
    for layer in model.modules():
        if isinstance(layer, FrozenBatchNorm):
            layer.weight.uniform_(0.2, 0.5)
            layer.bias.normal_(0, 0.2)
    for head_layer in (model.rpn.objectness, model.rpn.deltas, model.head.scores, model.head.deltas):
        nn.init.normal_(head_layer.weight, std=0.05)
    return model


def _ghost() -> nn.Module:
    model = classifier(ResNet(50, CLASSES, WIDTH))
    use_ghost_batches(model, 4)
    return model


def _vgg() -> nn.Module:
    return detector(VGG(16, None, dropout=0.0, width=WIDTH), pooling="pool", bins=7)


def _localizer() -> nn.Module:
    return ClassRPN(ResNet(18, None, WIDTH), CLASSES, ClassRPNSettings("conv4", hidden=32, scales=(16, 32, 64)))


def labelled(side: int) -> LabelledImages:
    """Eight images of noise, uint8 [8, 3, side, side]."""
    return LabelledImages(_noise(8, side, side), torch.arange(8) % CLASSES, torch.arange(8), ["noise"] * 8)


def localization() -> LocalizationBatch:
    """Eight crops of noise with a box each."""
    corner = torch.arange(8.0)[:, None, None]
    boxes = torch.tensor([[[8.0, 12, 50, 44]]]) + corner * torch.tensor([1.0, 2, 3, 4])
    mask = torch.ones(8, 1, dtype=torch.bool)
    labels = torch.arange(8) % CLASSES
    return LocalizationBatch(_noise(8, 96, 96), labels, boxes, mask, torch.arange(8), ["noise"] * 8)


def detection(factor: float = 1) -> Batch:
    """Two images of noise of different sizes with two and three objects, one of them a crowd; resized by `factor`."""
    entries = []
    for index, ((height, width), boxes) in enumerate(zip(((96, 128), (160, 128)), BOXES, strict=True)):
        flags = torch.zeros(len(boxes), dtype=torch.bool)
        crowd = flags.clone()
        crowd[2:] = True
        size = round(height * factor), round(width * factor)
        pixels = _noise(1, *size)[0].permute(1, 2, 0)
        sample = Sample(pixels, torch.tensor(boxes), torch.arange(len(boxes)), flags, crowd, f"noise{index}")
        entries.append((sample, (height, width), index + 1))
    return collate_detection(entries)


def pyramid() -> Pyramid:
    """The two images at two sizes."""
    return Pyramid([detection(0.75), detection(1.5)])


def regions(image_sizes: Tensor) -> Tensor:
    """Random regions inside images of (height, width) [N, 2], equal on every device: [N, REGIONS, 4]."""
    numbers = torch.rand(len(image_sizes), REGIONS, 2, 2, generator=torch.Generator().manual_seed(1))
    corners = torch.cat([numbers.amin(2), numbers.amax(2)], -1)
    sizes = image_sizes.cpu().float().flip(-1).repeat(1, 2)
    return (corners * sizes[:, None]).to(image_sizes.device)


def classify(model: Classifier, batch: LabelledImages) -> dict[str, Tensor]:
    """Losses and logits, with BN over the batch."""
    loss = model(batch)["loss_class"]
    with torch.no_grad():
        return {"loss_class": loss, "logits": model.net(model.net.preprocess(batch.images))}


def detect(model: FasterRCNN, batch: Batch) -> dict[str, Tensor]:
    """All that a training step computes, for given regions instead of the RPN's proposals."""
    features = model.trunk(batch)
    outputs = model.rpn(features)
    losses = model.rpn.losses(outputs, features, batch)
    given = regions(batch.image_sizes)
    chosen = model.head.sample(given, torch.ones_like(given[..., 0], dtype=torch.bool), batch)
    logits, deltas = model.head(model.embed(features, chosen.boxes))
    losses |= model.head.losses(logits, deltas, chosen)
    objectness = outputs.logits.masked_fill(~outputs.present, 0)
    maps = {"map": features.map, "objectness": objectness, "rpn deltas": outputs.deltas}
    # A slot without a region holds any of them, on every device another.
    return losses | maps | {"logits": logits[chosen.valid], "deltas": deltas[chosen.valid]}


@torch.no_grad()
def improve(model: FasterRCNN, batch: Pyramid) -> dict[str, Tensor]:
    """Multi-scale testing and refinement, before NMS."""
    several = MultiScale(model, (0,), side=64)
    features, sizes = several.trunk(batch), batch.image_sizes
    given = regions(sizes)
    vectors = several.embed(features, given)
    scores, boxes = several.predict(vectors, given, sizes)
    # The second round pools the boxes of the most probable classes, here given ones.
    numbers = torch.rand(*given.shape[:2], CLASSES + 1, generator=torch.Generator().manual_seed(2)).to(given.device)
    found = Predictions(numbers, given[:, :, None].expand(-1, -1, CLASSES, -1), torch.ones_like(numbers[..., 0]).bool())
    refined = refine(several, features, found, sizes, Refinement(classes=2))
    return {"vectors": vectors, "scores": scores, "boxes": boxes, "refined": refined.scores, "boxes 2": refined.boxes}


def localize(model: ClassRPN, batch: LocalizationBatch) -> dict[str, Tensor]:
    """Losses, and logits and boxes of every anchor for the class of each image."""
    x = model.map(model.prepare(batch.images, batch.seeds))
    logits, boxes = model.scores_and_boxes(x, batch.labels[:, None])
    return model.losses(x, batch) | {"map": x, "logits": logits, "boxes": boxes}


def _noise(count: int, height: int, width: int) -> Tensor:
    """Images with structure at several scales, uint8, channels_last: white noise alone would average out."""
    generator = torch.Generator().manual_seed(height)
    x = torch.zeros(count, 3, height, width)
    for side in (2, 5, 16):
        small = torch.rand(count, 3, side, side, generator=generator)
        x += nn.functional.interpolate(small, (height, width), mode="bilinear")
    x += torch.rand(count, 3, height, width, generator=generator)
    return (x * 63.75).to(torch.uint8).contiguous(memory_format=torch.channels_last)
