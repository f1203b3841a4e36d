"""The region head (Fast R-CNN) after conv5: sampling of regions, classification, box regression and their losses.

    head = RoIHead(channels=2048, num_classes=20, settings=HeadSettings())
    regions = head.sample(proposals, valid, batch)             # training: S labelled regions per image
    logits, deltas = head(vectors)                             # [N, S, K+1] and [N, S, K, 4]
    losses = head.losses(logits, deltas, regions)
    scores, boxes = head.predict(vectors, proposals, sizes)    # test: [N, R, K+1] and [N, R, K, 4]

Shapes: N images; R proposals per image, padded; S sampled regions per image; G ground-truth boxes per image, padded;
C channels of a region's vector; K classes, 0..K-1, and the background, K. Deltas are (dx, dy, dw, dh) of
boxes/coding.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resdet.boxes.coding import decode, encode
from resdet.boxes.geometry import clip_boxes, gather_boxes
from resdet.boxes.losses import head_losses
from resdet.boxes.targets import IGNORED, ignore_crowds, match_boxes, sample
from resdet.draws import random_keys
from resdet.ranges import Count, Natural, Share
from resdet.structures import Batch

STREAM = 1  # random_keys: which regions are sampled


@dataclass(frozen=True)
class HeadSettings:
    """Settings of the region head.

    Defaults follow the paper and py-faster-rcnn, except `pooling` (the paper: "pool") and `background_iou`
    (py-faster-rcnn: .1).

    Args:
        pooling: "align" (RoIAlign) or "pool" (RoIPool with max, as in the paper).
        aligned: RoIAlign's half-pixel shift, see `roi_align`; True in detectron2, False in torchvision's detectors.
        samples: bilinear samples of RoIAlign along each side of a bin; 0 adapts to the region's size, as in detectron2;
            2 in torchvision's detectors.
        context: concatenate the whole image's vector to the vector of each region (global context, App. B).
        bins: regions are pooled to bins x bins. 14 = 224 / 16 is conv5's input size in ImageNet training; choose 7 for
            a net trained on 112-pixel crops.
        regions: regions sampled per image for training; 512 in detectron2.
        foreground_fraction: maximum fraction of foreground among the sampled regions.
        foreground_iou: a region with at least this IoU to an object is foreground.
        background_iou: a region whose highest IoU is below foreground_iou and at least this is background, others are
            ignored; 0.1 in the authors' code, 0 elsewhere.
        delta_weights: factors of the regression targets (dx, dy, dw, dh), which bring their standard deviation to about
            1 (Fast R-CNN).
        beta: transition point of the smooth L1 loss; 0 (plain L1) in detectron2.
        score_floor: detections with a score of at most this are dropped; a lower value gives a higher AP.
        nms_iou: IoU threshold of NMS on the detections of each class: 0.3 for VOC (the paper), 0.5 for COCO and in
            detectron2.
        max_detections: detections kept per image, over all classes.
        siblings_std: standard deviations of the initial weights of the classification and the box regression layer
            (Fast R-CNN, section 2.3, chosen for VGG's 4,096 input channels); None keeps the initialization of
            ``nn.Linear``.
    """

    pooling: str = "align"
    aligned: bool = True
    samples: Natural = 0
    context: bool = False
    bins: Count = 14
    regions: Count = 128
    foreground_fraction: Share = 0.25
    foreground_iou: Share = 0.5
    background_iou: Share = 0.0
    delta_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    beta: float = 1.0
    score_floor: float = 0.05
    nms_iou: Share = 0.3
    max_detections: Count = 100
    siblings_std: tuple[float, float] | None = (0.01, 0.001)


class LabelledRegions(NamedTuple):
    """Regions sampled for a training step."""

    boxes: Tensor  # float32 [N, S, 4], in image pixels
    labels: Tensor  # int64 [N, S], 0..K-1, or K for background
    targets: Tensor  # float32 [N, S, 4], deltas from the region to its object; meaningless for background
    valid: Tensor  # bool [N, S], False in padding


class RoIHead(nn.Module):
    """Two linear layers on a region's vector: K+1 class logits, background last, and box deltas for each class.

    Args:
        channels: C, of a region's vector without context.
        num_classes: K, without the background.
        settings: None gives the defaults.
    """

    def __init__(self, channels: int, num_classes: int, settings: HeadSettings | None = None) -> None:
        super().__init__()
        self.settings, self.num_classes = settings or HeadSettings(), num_classes
        columns = 2 * channels if self.settings.context else channels
        self.scores = nn.Linear(columns, num_classes + 1)
        self.deltas = nn.Linear(columns, 4 * num_classes)
        if self.settings.siblings_std is None:
            return
        for layer, std in zip((self.scores, self.deltas), self.settings.siblings_std, strict=True):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits [..., K+1] and deltas [..., K, 4] from vectors [..., C] (2C with context); always in fp32."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float()
            return self.scores(vectors), self.deltas(vectors).unflatten(-1, (self.num_classes, 4))

    @torch.no_grad()
    def sample(self, proposals: Tensor, present: Tensor, batch: Batch) -> LabelledRegions:
        """Sample S regions per image from the proposals and the ground-truth boxes, label them and encode targets.

        Crowd boxes are not used as objects; regions that lie in one are not used as background.

        Args:
            proposals: [N, R, 4], in image pixels.
            present: bool [N, R], False in padding.
            batch: ground truth, and the seeds of the random draws.
        """
        s = self.settings
        objects = batch.mask & ~batch.crowd
        boxes = torch.cat([proposals, batch.boxes], 1)
        present = torch.cat([present, objects], 1)
        labels, index, ious = match_boxes(
            batch.boxes, boxes, objects, s.foreground_iou, s.foreground_iou, low_quality=False
        )
        if batch.crowded:
            labels = ignore_crowds(labels, boxes, batch.boxes, batch.mask & batch.crowd)
        labels = labels.masked_fill(~present | (ious.clamp(min=0) < s.background_iou), IGNORED)
        keys = random_keys(batch.seeds, labels.shape[1], STREAM)
        chosen = sample(labels, keys, s.regions, s.foreground_fraction)
        object_index = index.gather(1, chosen.index)
        regions = gather_boxes(boxes, chosen.index)
        classes = torch.where(chosen.positive, batch.labels.gather(1, object_index), self.num_classes)
        targets = encode(gather_boxes(batch.boxes, object_index), regions, s.delta_weights)
        return LabelledRegions(regions, classes, targets, chosen.valid)

    def losses(self, logits: Tensor, deltas: Tensor, regions: LabelledRegions) -> dict[str, Tensor]:
        """Losses of the sampled regions, both divided by the number of valid ones (Fast R-CNN, eq. 1).

        Args:
            logits: [N, S, K+1].
            deltas: [N, S, K, 4].
            regions: labels and targets of the same regions.

        Returns:
            "loss_class", cross entropy, and "loss_box", smooth L1 over the foreground.
        """
        classification, box = head_losses(
            logits.flatten(0, -2), deltas.flatten(0, -3), regions.labels.flatten(), regions.targets.flatten(0, 1),
            regions.valid.flatten(), self.settings.beta,
        )  # fmt: skip
        return {"loss_class": classification, "loss_box": box}

    def predict(self, vectors: Tensor, regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities [N, R, K+1] and one box per class [N, R, K, 4], clipped to the image.

        Args:
            vectors: [N, R, C], or [N, R, 2C] with context.
            regions: [N, R, 4], in image pixels.
            image_sizes: int64 [N, 2], (height, width).
        """
        logits, deltas = self(vectors)
        boxes = decode(deltas, regions[:, :, None], self.settings.delta_weights)
        return logits.softmax(-1), clip_boxes(boxes, image_sizes[:, None, None])
