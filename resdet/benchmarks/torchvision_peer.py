"""torchvision's Faster R-CNN in C4 form with the weights of a resdet detector: the same function, for comparisons.

peer = torchvision_peer(model)                        # a torchvision FasterRCNN
differences = largest_differences(model, peer, batch) # of feature map, logits, deltas, scores and boxes

ResNet, RPN, sampling, pooling and NMS are torchvision's code. Changed is only what would make it another function: the
stride is on the first 1x1 convolution as in the paper, anchors are not rounded and always 16 pixels apart, images are
not padded to multiples of 32, RoIAlign has resdet's `aligned` and samples, and conv5 is the head.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any, cast

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN as TorchvisionFasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign, roi_align, roi_pool

from resdet.detection.faster_rcnn import STRIDE, FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.errors import UserError
from resdet.nets.resnet import ResNet
from resdet.structures import Batch, Features
from resdet.weights.export import to_torchvision


def torchvision_peer(model: FasterRCNN, size_divisible: int = 1) -> TorchvisionFasterRCNN:
    """Build a torchvision detector that computes the same function as `model`; its losses and sampling are its own.

    It does not resize: its images must have the network's input size.

    Args:
        model: its weights and settings are copied.
        size_divisible: batches are padded to a multiple of this many pixels; 32 in torchvision.

    Raises:
        UserError: torchvision has no such net (a width other than 1, or Caffe's pool1).
    """
    net, rpn, head = model.net, model.rpn.settings, model.head.settings
    if not isinstance(net, ResNet) or net.trunk_channels not in (256, 1024) or net.pool1 != "pad":
        raise UserError("torchvision has no such detector: compare a ResNet of width 1 with pool1='pad'")
    resnet = getattr(torchvision.models, f"resnet{net.depth}")(weights=None, norm_layer=FrozenBatchNorm2d)
    if net.reads_even_cells:
        move_strides(resnet)
    resnet.load_state_dict(to_torchvision({k: v for k, v in net.state_dict().items() if "fc." not in k}), strict=False)
    peer = TorchvisionFasterRCNN(
        _Trunk(resnet, net.trunk_channels),
        rpn_anchor_generator=_Anchors(model),
        rpn_head=_rpn_head(model),
        rpn_fg_iou_thresh=rpn.positive_iou,
        rpn_bg_iou_thresh=rpn.negative_iou,
        rpn_batch_size_per_image=rpn.anchors_per_image,
        rpn_positive_fraction=rpn.positive_fraction,
        rpn_pre_nms_top_n_train=rpn.train_pre_nms,
        rpn_pre_nms_top_n_test=rpn.test_pre_nms,
        rpn_post_nms_top_n_train=rpn.train_post_nms,
        rpn_post_nms_top_n_test=rpn.test_post_nms,
        rpn_nms_thresh=rpn.nms_iou,
        box_roi_pool=_Pool(head),
        box_head=_Conv5(resnet.layer4),
        box_predictor=_predictor(model),
        box_score_thresh=head.score_floor,
        box_nms_thresh=head.nms_iou,
        box_detections_per_img=head.max_detections,
        box_batch_size_per_image=head.regions,
        box_positive_fraction=head.foreground_fraction,
        box_fg_iou_thresh=head.foreground_iou,
        box_bg_iou_thresh=head.foreground_iou,
        bbox_reg_weights=head.delta_weights,
    )
    mean, std = (v / 255 for v in (net.preprocess.mean, net.preprocess.std))
    peer.transform = _Normalize(1, 1, mean.tolist(), std.tolist(), size_divisible=size_divisible)
    for ours, theirs in (("conv1", "conv1"), *((f"conv{i + 1}", f"layer{i}") for i in range(1, 5))):
        trained = any(p.requires_grad for p in getattr(net, ours).parameters())
        getattr(resnet, theirs).requires_grad_(trained)
    return peer.train(model.training)


def peer_inputs(batch: Batch) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Convert a batch to torchvision's inputs.

    Returns:
        Images, float [3, H, W] in 0..1 without padding; and for each a dict of boxes [G, 4] in pixels of the network's
        input and labels [G] from 1 on, because 0 is torchvision's background.
    """
    images = [image[:, :h, :w].float() / 255 for image, (h, w) in zip(batch.images, batch.sizes.tolist(), strict=True)]
    rows = zip(batch.boxes * batch.scale[:, None], batch.labels, batch.mask & ~batch.crowd, strict=True)
    return images, [{"boxes": boxes[used], "labels": labels[used] + 1} for boxes, labels, used in rows]


@torch.inference_mode()
def largest_differences(model: FasterRCNN, peer: TorchvisionFasterRCNN, batch: Batch) -> dict[str, float]:
    """Compare the outputs of every stage, each computed from the same input.

    Args:
        model: in evaluation mode, before `fold_for_inference`.
        peer: `torchvision_peer(model)`, in evaluation mode.
        batch: images for both.

    Returns:
        Largest absolute difference by stage: of the feature map relative to its largest value, of boxes in pixels.
    """
    images, _ = peer_inputs(batch)
    inputs, _ = peer.transform(images)
    features = model.trunk(batch)
    theirs = peer.backbone(inputs.tensors)
    outputs = model.rpn(features)
    logits, deltas = peer.rpn.head([features.map.contiguous()])
    N = len(batch.sizes)
    their_logits = logits[0].permute(0, 2, 3, 1).reshape(N, -1)
    their_deltas = deltas[0].permute(0, 2, 3, 1).reshape(N, -1, 4)
    proposals, _ = peer.rpn(inputs, OrderedDict({"0": features.map.contiguous()}))
    regions = model.rpn.propose(outputs, features).boxes
    same = [_nearest(a, b) for a, b in zip(regions, proposals, strict=True)]
    scores, boxes = model.predict(model.embed(features, regions), regions, features.image_sizes)
    their_scores, their_boxes = _their_answers(peer, features, regions, inputs.image_sizes)
    return {
        "map": _difference(features.map, theirs) / theirs.abs().max().item(),
        "logits": _difference(outputs.logits, their_logits),
        "deltas": _difference(outputs.deltas, their_deltas),
        "proposals": max(same),
        "scores": _difference(scores.flatten(0, 1), their_scores.roll(-1, 1)),
        "boxes": _difference(boxes.flatten(0, 1), their_boxes[:, 1:]),
    }


def _their_answers(
    peer: TorchvisionFasterRCNN, features: Features, regions: Tensor, sizes: list[tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    heads = cast(Any, peer.roi_heads)
    pooled = heads.box_roi_pool({"0": features.map.contiguous()}, list(regions), sizes)
    logits, deltas = heads.box_predictor(heads.box_head(pooled))
    boxes = heads.box_coder.decode(deltas, list(regions))
    extent = torch.tensor([sizes[0][1], sizes[0][0]] * 2, device=boxes.device)
    return logits.softmax(-1), boxes.clamp(min=0).minimum(extent)


def _difference(ours: Tensor, theirs: Tensor) -> float:
    return (ours - theirs).abs().max().item()


def _nearest(ours: Tensor, theirs: Tensor) -> float:
    """Largest distance of one of our boxes to the nearest of theirs; infinite if their numbers differ."""
    if len(ours) != len(theirs):
        return float("inf")
    return torch.cdist(ours, theirs, p=torch.inf).amin(1).max().item()


# The parts -----------------------------------------------------------------------------------------------------------


class _Trunk(nn.Module):
    def __init__(self, resnet: nn.Module, channels: int) -> None:
        super().__init__()
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
        self.layers = nn.Sequential(*(getattr(resnet, name) for name in names))
        self.out_channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layers(x))


class _Conv5(nn.Module):
    def __init__(self, layer4: nn.Module) -> None:
        super().__init__()
        self.layer4 = layer4

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layer4(x).mean((2, 3)))


class _Normalize(GeneralizedRCNNTransform):
    """Normalizes and pads, but does not resize."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


class _Pool(MultiScaleRoIAlign):
    def __init__(self, head: HeadSettings) -> None:
        super().__init__(["0"], head.bins, sampling_ratio=head.samples)
        self.kind, self.bins, self.samples, self.aligned = head.pooling, head.bins, head.samples, head.aligned

    def forward(self, features: dict[str, Tensor], regions: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        if self.kind == "pool":  # in fp32, which autocast sees to for roi_align only
            pooled = roi_pool(features["0"].float(), [r.float() for r in regions], self.bins, 1 / STRIDE)
        else:
            pooled = roi_align(features["0"], regions, self.bins, 1 / STRIDE, self.samples, self.aligned)
        return cast(Tensor, pooled)


class _Anchors(AnchorGenerator):
    def __init__(self, model: FasterRCNN) -> None:
        super().__init__(((128,),), ((1.0,),))
        self.ours = model.rpn.anchors

    def num_anchors_per_location(self) -> list[int]:
        return [self.ours.num_anchors]

    def forward(self, images: Any, maps: list[Tensor]) -> list[Tensor]:
        height, width = maps[0].shape[-2:]
        return [self.ours(height, width, maps[0].device)] * len(images.image_sizes)


def move_strides(resnet: nn.Module) -> None:
    """Move the strides of a torchvision ResNet from the 3x3 to the first 1x1 convolution, the paper's place."""
    for name in ("layer2", "layer3", "layer4"):
        block = getattr(resnet, name)[0]
        block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)


def _rpn_head(model: FasterRCNN) -> RPNHead:
    ours = model.rpn
    head = RPNHead(ours.conv.in_channels, ours.anchors.num_anchors)
    head.conv = nn.Sequential(copy.deepcopy(ours.conv), nn.ReLU())
    head.cls_logits, head.bbox_pred = copy.deepcopy(ours.objectness), copy.deepcopy(ours.deltas)
    return head.to(memory_format=torch.contiguous_format)


def _predictor(model: FasterRCNN) -> FastRCNNPredictor:
    """The output layers in torchvision's order: class 0 is the background, whose box deltas are not used."""
    scores, deltas = model.head.scores, model.head.deltas
    predictor = FastRCNNPredictor(scores.in_features, model.num_classes + 1)
    with torch.no_grad():
        predictor.cls_score.weight.copy_(scores.weight.roll(1, 0))
        predictor.cls_score.bias.copy_(scores.bias.roll(1, 0))
        predictor.bbox_pred.weight.zero_()[4:] = deltas.weight
        predictor.bbox_pred.bias.zero_()[4:] = deltas.bias
    return predictor
