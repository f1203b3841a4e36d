"""Faster R-CNN on a ResNet: conv1-conv4 shared, conv5 as the region head, BN frozen (Sect. 4.3, App. A); or on VGG-16.

    detector = FasterRCNN(ResNet(101, num_classes=None), num_classes=20)
    losses = detector(batch)                                    # training: a dict of four losses (`forward`)
    detections = Inference([detector.eval()]).detect(batch)     # test: detection/inference.py

Inference and Appendix B's improvements use four functions, the interface of detection/four_functions.py:

    features      = detector.trunk(batch)                       # conv1..conv4, stride 16
    proposals     = detector.propose(features)                  # RPN; boxes in image pixels
    vectors       = detector.embed(features, regions)           # RoI pooling -> conv5 -> mean: one vector per region
    scores, boxes = detector.predict(vectors, regions, sizes)   # class probabilities and one box per class

Shapes: N images, R regions per image, C channels of a region's vector, K classes. Boxes are in the pixels of the
original images; `Features.scale` maps them to the network's input.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from resdet.boxes.proposals import Proposals
from resdet.boxes.roi_align import roi_align
from resdet.boxes.roi_pool import roi_pool
from resdet.detection.context import embed_with_context
from resdet.detection.roi_head import HeadSettings, RoIHead
from resdet.detection.rpn import RPN, RPNSettings
from resdet.errors import UserError
from resdet.nets.backbone import Backbone
from resdet.nets.frozen_bn import freeze_batch_norm
from resdet.nets.frozen_stages import freeze_stages
from resdet.structures import Batch, Features

STRIDE = 16  # of the shared map, conv4's, in network input pixels


_RPN, _HEAD = RPNSettings(), HeadSettings()


class FasterRCNN(nn.Module):
    """The detector, trained by approximate joint training: all four losses at once.

    Attributes:
        learns: the parts whose losses are computed, of "rpn" and "head"; alternating training sets one of them.
        proposer: Batch -> Proposals, the source of the regions that the head is trained on; None uses the detector's
            own RPN. Alternating training sets it to another detector's `proposals`.

    Args:
        net: the backbone, without fc. Its BN is frozen in place; weights and BN statistics may be loaded before
            or after. VGG shares its 13 convolutions, and fc6 and fc7 are the region head.
        num_classes: K, without the background.
        rpn: settings of the RPN; by default for PASCAL VOC.
        head: settings of the region head; the paper's configs set pooling="pool".
        frozen_stages: conv1 to conv{frozen_stages} are not trained; 2 in py-faster-rcnn and detectron2, 0 trains all.

    Raises:
        UserError: there is no class, `head.pooling` is unknown, or `head.bins` is not what the net's head reads (7 for
            VGG).
    """

    def __init__(
        self,
        net: Backbone,
        num_classes: int,
        rpn: RPNSettings = _RPN,
        head: HeadSettings = _HEAD,
        frozen_stages: int = 2,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise UserError(f"model.num_classes is {num_classes}: give the number of classes, at least 1")
        self.net = net
        freeze_batch_norm(net)
        self.frozen = freeze_stages(net, frozen_stages)
        self.learns: tuple[str, ...] = ("rpn", "head")
        self.proposer: Callable[[Batch], Proposals] | None = None
        self.num_classes = num_classes
        self.rpn = RPN(net.trunk_channels, rpn, STRIDE)
        self.head = RoIHead(net.channels, num_classes, head)
        self.pooling = pooling_function(self.head.settings)
        bins, needed = self.head.settings.bins, net.region_bins
        if needed not in (None, bins):
            raise UserError(f"head.bins is {bins}: the net's head reads {needed}x{needed} cells, set it to {needed}")
        self.to(memory_format=torch.channels_last)

    @property
    def stride_on(self) -> str | None:
        """The bottleneck convolution that has the stride, "1x1" or "3x3"; weights of the other kind do not fit."""
        return self.net.stride_on

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of one training step, for the parts in `learns`: RPN objectness and box, head class and box."""
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
        """The shared map of the images, [N, C4, h, w] at stride 16 and zero in the padding."""
        sizes = batch.sizes if batch.padded else None
        x = self.net.preprocess(batch.images, sizes).to(self.net.dtype)
        return Features(self.net.trunk(x, sizes), self.net.trunk_cells(batch.sizes), batch.scale, batch.image_sizes)

    def propose(self, features: Features) -> Proposals:
        """The RPN's proposals [N, R, 4] in image pixels; more of them in training mode than in eval mode."""
        return self.rpn.propose(self.rpn(features), features)

    @torch.no_grad()
    def proposals(self, batch: Batch) -> Proposals:
        """The RPN's proposals for a batch, without gradients; in alternating training another detector's `proposer`."""
        return self.propose(self.trunk(batch))

    def embed(self, features: Features, regions: Tensor) -> Tensor:
        """Vectors float32 [N, R, C] of regions [N, R, 4], the head's input; with global context [N, R, 2C]."""
        if not self.head.settings.context:
            return self.vectors(features, regions)
        return embed_with_context(lambda r: self.vectors(features, r), regions, features.image_sizes)

    def vectors(self, features: Features, regions: Tensor) -> Tensor:
        """Vectors float32 [N, R, C] of regions [N, R, 4], without context: RoI pooling, conv5, mean over the cells.

        If conv5 starts with 1x1 convolutions of stride 2, only the even rows and columns of bins are computed.
        """
        entry = self.net.head_entry
        if entry is not None and self._enters_on_map(features, regions):
            pooled = [self._pool(m.map, m.even, features, regions) for m in entry.maps(features.map)]
            vectors = entry.vectors(pooled)
        else:
            even = self.net.reads_even_cells
            vectors = self.net.head(self._pool(features.map, even, features, regions), subsampled=even)
        return torch.unflatten(vectors, 0, regions.shape[:2])

    def _enters_on_map(self, features: Features, regions: Tensor) -> bool:
        """Whether conv5's first 1x1 convolutions are computed on the map (nets/head_entry.py).

        They are on a CPU where the map has fewer cells than the regions have bins. A GPU's RoIAlign, two dense
        products, would cost more than it saves.
        """
        if self.head.settings.pooling != "align" or features.map.device.type != "cpu" or torch.compiler.is_compiling():
            return False
        side = -(-self.head.settings.bins // 2)
        return features.map.shape[-2:].numel() < regions.shape[1] * side * side

    def _pool(self, maps: Tensor, even: bool, features: Features, regions: Tensor) -> Tensor:
        """Maps [N, C, h, w] pooled in regions [N, R, 4]: [N * R, C, bins, bins], or every second bin with `even`."""
        scaled = regions * features.scale[:, None]
        return self.pooling(maps, scaled, self.head.settings.bins, STRIDE, even=even, cells=features.cells)

    def predict(self, vectors: Tensor, regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities [N, R, K+1], background last, and boxes [N, R, K, 4]; see `RoIHead.predict`."""
        return self.head.predict(vectors, regions, image_sizes)


def pooling_function(settings: HeadSettings) -> Callable[..., Tensor]:
    """`roi_align` or `roi_pool` with the arguments that `settings` gives.

    Raises:
        UserError: `settings.pooling` is neither "align" nor "pool".
    """
    if settings.pooling == "align":
        return partial(roi_align, sampling=settings.samples, aligned=settings.aligned)
    if settings.pooling == "pool":
        return roi_pool
    raise UserError(f"pooling '{settings.pooling}' is unknown; give align or pool")
