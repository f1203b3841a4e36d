"""Faster R-CNN on a ResNet: conv1-conv4 shared, conv5 as the region head, BN frozen (Sect. 4.3, App. A); or on VGG-16.

    detector = FasterRCNN(ResNet(101, num_classes=None), num_classes=20)
    losses = detector(batch)                    # training: a dict of four losses
    detections = detector.detect(batch)         # one Detections an image, in its own pixels

Four functions carry it, and all that composes with it (App. B):

    features      = detector.trunk(batch)                       # conv1..conv4, stride 16
    proposals     = detector.propose(features)                  # RPN; boxes in the image's own pixels
    vectors       = detector.embed(features, regions)           # pooling -> conv5 -> mean: one vector a region
    scores, boxes = detector.predict(vectors, regions, sizes)   # the two siblings; boxes for each class
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from resdet.boxes.pooling import roi_align, roi_pool
from resdet.boxes.proposals import Proposals
from resdet.detection.context import embed_with_context
from resdet.detection.roi_head import HeadSettings, RoIHead
from resdet.detection.rpn import RPN, RPNSettings
from resdet.errors import UserError
from resdet.nets.frozen_bn import freeze_batch_norm
from resdet.nets.frozen_stages import freeze_stages
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.structures import Batch, Detections, Features

STRIDE = 16  # of conv4's map


class FasterRCNN(nn.Module):
    """The detector; trained by approximate joint training, all four losses at once.

    Alternating training sets `learns` to ("rpn",) or ("head",), whose losses alone are computed, and `proposer` to
    another detector's `proposals`; None are its own.

    Args:
        net: without fc. Its BN is frozen here, in place: load weights with statistics before or after, by name. Of a
            VGG the 13 convolutions are shared, fc6 and fc7 are the region head.
        num_classes: without the background.
        rpn, head: their settings; the defaults are the paper's for PASCAL VOC.
        frozen_stages: conv1 to conv{frozen_stages} are not trained; 2 in the Caffe line and detectron2, 0 trains all.
    """

    def __init__(
        self,
        net: ResNet | VGG,
        num_classes: int,
        rpn: RPNSettings | None = None,
        head: HeadSettings | None = None,
        frozen_stages: int = 2,
    ) -> None:
        super().__init__()
        self.net = net
        freeze_batch_norm(net)
        self.frozen = freeze_stages(net, frozen_stages)
        self.learns: tuple[str, ...] = ("rpn", "head")
        self.proposer: Callable[[Batch], Proposals] | None = None
        self.num_classes = num_classes
        self.rpn = RPN(net.trunk_channels, rpn, STRIDE)
        self.head = RoIHead(net.channels, num_classes, head)
        self.pooling = pooling_function(self.head.settings)
        if isinstance(net, VGG) and self.head.settings.bins != 7:
            raise UserError(
                f"head.bins is {self.head.settings.bins}: VGG's fc6 reads regions of 7x7 cells, set it to 7"
            )
        self.to(memory_format=torch.channels_last)

    @property
    def stride_on(self) -> str | None:
        """Which convolution of a bottleneck has the stride: weights of another origin do not fit."""
        return self.net.stride_on

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of one training step, of the parts that learn."""
        features, losses = self.trunk(batch), dict[str, Tensor]()
        if "rpn" in self.learns or self.proposer is None:
            outputs = self.rpn(features)
        if "rpn" in self.learns:
            losses |= self.rpn.losses(outputs, features, batch)
        if "head" not in self.learns:
            return losses
        proposals = self.rpn.propose(outputs, features) if self.proposer is None else self.proposer(batch)
        regions = self.head.sample(proposals.boxes, proposals.valid, batch)
        logits, deltas = self.head(self.embed(features, regions.boxes))
        return losses | self.head.losses(logits, deltas, regions)

    def trunk(self, batch: Batch) -> Features:
        """conv1 to conv4 of a batch's images."""
        sizes = batch.sizes if batch.padded else None
        x = self.net.preprocess(batch.images, sizes).to(self.net.dtype)
        return Features(self.net.trunk(x, sizes), self.net.trunk_cells(batch.sizes), batch.scale, batch.image_sizes)

    def propose(self, features: Features) -> Proposals:
        """The RPN's proposals, in each image's own pixels."""
        return self.rpn.propose(self.rpn(features), features)

    @torch.no_grad()
    def proposals(self, batch: Batch) -> Proposals:
        """Trunk and proposals of a batch, for another detector's training."""
        return self.propose(self.trunk(batch))

    def embed(self, features: Features, regions: Tensor) -> Tensor:
        """What the siblings read of regions [N, R, 4] in image pixels: float32 [N, R, C], with global context 2C."""
        if not self.head.settings.context:
            return self.vectors(features, regions)
        return embed_with_context(lambda r: self.vectors(features, r), regions, features.image_sizes)

    def vectors(self, features: Features, regions: Tensor) -> Tensor:
        """One vector for each region: regions [N, R, 4] in image pixels -> float32 [N, R, C]."""
        vectors = self.net.head(self.pool(features, regions), subsampled=self.net.reads_even_cells)
        return vectors.unflatten(0, regions.shape[:2])

    def pool(self, features: Features, regions: Tensor) -> Tensor:
        """What conv5 reads of each region: [N * R, C, bins, bins], or its even rows and columns where they suffice."""
        scaled, even = regions * features.scale[:, None], self.net.reads_even_cells
        return self.pooling(features.map, scaled, self.head.settings.bins, STRIDE, even=even, cells=features.cells)

    def predict(self, vectors: Tensor, regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities [N, R, K+1] and boxes [N, R, K, 4] of regions [N, R, 4]."""
        return self.head.predict(vectors, regions, image_sizes)

    @torch.inference_mode()
    def detect(self, batch: Batch) -> list[Detections]:
        """Everything at once, at test time: call ``eval()`` before."""
        features = self.trunk(batch)
        proposals = self.propose(features)
        vectors = self.embed(features, proposals.boxes)
        scores, boxes = self.predict(vectors, proposals.boxes, features.image_sizes)
        return self.head.detections(scores, boxes, proposals.valid)


def pooling_function(settings: HeadSettings) -> Callable[..., Tensor]:
    """`roi_align` or `roi_pool` with the settings' own arguments.

    Raises:
        UserError: `settings.pooling` is neither "align" nor "pool".
    """
    if settings.pooling == "align":
        return partial(roi_align, sampling=settings.samples, aligned=settings.aligned)
    if settings.pooling == "pool":
        return roi_pool
    raise UserError(f"pooling '{settings.pooling}' is unknown; there are align, pool")
