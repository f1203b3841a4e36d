"""The region head (Fast R-CNN) after conv5: sampling of regions, the two siblings, their losses and boxes.

head = RoIHead(channels=2048, num_classes=20, settings=HeadSettings())
regions = head.sample(proposals, batch)                    # training: S regions an image, labelled
logits, deltas = head(vectors)                             # [M, K+1] and [M, K, 4]
losses = head.losses(logits, deltas, regions)
scores, boxes = head.predict(vectors, proposals, sizes)    # [N, R, K] and [N, R, K, 4]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resdet.boxes.coding import decode, encode
from resdet.boxes.geometry import clip_boxes, pairwise_coverage, pairwise_iou
from resdet.boxes.losses import head_losses
from resdet.boxes.nms import multiclass_nms
from resdet.boxes.targets import IGNORED, ignore_crowds, match, sample
from resdet.draws import random_keys
from resdet.structures import Batch, Detections

STREAM = 1  # of random_keys: the head's draws


@dataclass(frozen=True)
class HeadSettings:
    """The paper's and the Caffe line's values; what detectron2 has is said where it differs.

    Args:
        pooling: "align" (RoIAlign) or "pool" (RoIPool, max; the paper's).
        aligned: of RoIAlign, where a cell's value lies on the image (boxes/pooling.roi_align): True in detectron2,
            False in torchvision's detectors.
        samples: of RoIAlign, bilinear samples along each side of a bin; 0 is adaptive (detectron2), torchvision has 2.
        context: the siblings read the whole image's vector beside each region's (global context, App. B).
        bins: regions are pooled to so many on a side; 14 is what conv5 read of the trunk's own training crops of 224
            pixels, a sixteenth: take 7 for a trunk trained on crops of 112.
        regions: sampled an image; 512 in detectron2.
        foreground_fraction: at most so many of them foreground.
        foreground_iou: from which a region is foreground.
        background_iou: background down to this; .1 in the authors' code, 0 elsewhere.
        delta_weights: divide the deltas' spread, so that they are of order one.
        beta: of the smooth L1 loss; detectron2 has 0.
        score_floor: detections below are dropped; a lower one gives a higher AP.
        nms_iou: .3 for VOC (the paper), .5 for COCO and in detectron2.
        max_detections: an image.
        siblings_std: standard deviations of the initial weights of the class and the box layer (Fast R-CNN, section
            2.3, made for VGG's 4,096 columns); None initializes both as ``nn.Linear`` does.
    """

    pooling: str = "align"
    aligned: bool = True
    samples: int = 0
    context: bool = False
    bins: int = 14
    regions: int = 128
    foreground_fraction: float = 0.25
    foreground_iou: float = 0.5
    background_iou: float = 0.0
    delta_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    beta: float = 1.0
    score_floor: float = 0.05
    nms_iou: float = 0.3
    max_detections: int = 100
    siblings_std: tuple[float, float] | None = (0.01, 0.001)


class LabelledRegions(NamedTuple):
    """Sampled regions of a training step, S an image."""

    boxes: Tensor  # float32 [N, S, 4], image pixels
    labels: Tensor  # int64 [N, S], K: background
    targets: Tensor  # float32 [N, S, 4], deltas to the matched object
    valid: Tensor  # bool [N, S]


class RoIHead(nn.Module):
    """Two sibling layers: K+1 class scores, the background last, and a box for each class."""

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
        """Logits [..., K+1] and deltas [..., K, 4] of regions' vectors [..., C]; fp32 always, they are cheap."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float()
            return self.scores(vectors), self.deltas(vectors).unflatten(-1, (self.num_classes, 4))

    @torch.no_grad()
    def sample(self, proposals: Tensor, present: Tensor, batch: Batch) -> LabelledRegions:
        """Draw regions to learn from among the proposals [N, R, 4] and the true boxes themselves.

        present: bool [N, R], False where a slot of the proposals is empty.
        """
        s = self.settings
        objects = batch.mask & ~batch.crowd
        boxes = torch.cat([proposals, batch.boxes], 1)
        present = torch.cat([present, objects], 1)
        ious = pairwise_iou(batch.boxes, boxes)  # [N, G, R + G]
        labels, index = match(ious, objects, s.foreground_iou, s.foreground_iou, low_quality=False)
        best = ious.masked_fill(~objects[..., None], 0).amax(1)
        if batch.crowded:
            labels = ignore_crowds(labels, pairwise_coverage(boxes, batch.boxes).mT, batch.mask & batch.crowd)
        labels = labels.masked_fill(~present | (best < s.background_iou), IGNORED)
        keys = random_keys(batch.seeds, labels.shape[1], STREAM)
        chosen = sample(labels, keys, s.regions, s.foreground_fraction)
        object_index = index.gather(1, chosen.index)
        regions = _rows(boxes, chosen.index)
        classes = torch.where(chosen.positive, batch.labels.gather(1, object_index), self.num_classes)
        targets = encode(_rows(batch.boxes, object_index), regions, s.delta_weights)
        return LabelledRegions(regions, classes, targets, chosen.valid)

    def losses(self, logits: Tensor, deltas: Tensor, regions: LabelledRegions) -> dict[str, Tensor]:
        """Class and box loss, both over the number of sampled regions (Fast R-CNN, eq. 1)."""
        classification, box = head_losses(
            logits.flatten(0, -2), deltas.flatten(0, -3), regions.labels.flatten(), regions.targets.flatten(0, 1),
            regions.valid.flatten(), self.settings.beta,
        )  # fmt: skip
        return {"loss_class": classification, "loss_box": box}

    def predict(self, vectors: Tensor, regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities [N, R, K+1] and clipped boxes [N, R, K, 4] of regions [N, R, 4], in image pixels."""
        logits, deltas = self(vectors)
        boxes = decode(deltas, regions[:, :, None], self.settings.delta_weights)
        return logits.softmax(-1), clip_boxes(boxes, image_sizes[:, None, None])

    def detections(self, scores: Tensor, boxes: Tensor, present: Tensor) -> list[Detections]:
        """Score floor, NMS by class, the best of each image; `present` [N, R] marks real regions."""
        s = self.settings
        scores = scores[..., :-1] * present[..., None]
        rows = zip(boxes, scores, strict=True)
        return [Detections(*multiclass_nms(b, c, s.score_floor, s.nms_iou, s.max_detections)) for b, c in rows]


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """values [N, R, 4] at index [N, S] -> [N, S, 4]."""
    return values.gather(1, index[..., None].expand(-1, -1, 4))
