"""Multi-scale testing (App. B): each region is pooled from two adjacent scales of a pyramid; vectors merge by maximum.

    pyramid = Pyramid([batch_200, batch_400, batch_600, batch_800, batch_1000])
    detector = MultiScale(faster_rcnn, proposal_levels=[2])
    features = detector.trunk(pyramid)                          # one map per level
    vectors = detector.embed(features, proposals.boxes)         # RoI pooling and conv5 at two levels, then the maximum

The maximum is taken before the classification and box regression layers, as in maxout (the paper's [33]).

Shapes: N images, R regions per image, L levels, C channels of a region's vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from resdet.boxes.geometry import area, gather_boxes
from resdet.boxes.proposals import Proposals, merge_proposals
from resdet.detection.context import concatenate_context, whole_image
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.structures import Features, Pyramid


class MultiScale:
    """The four functions of a detector on an image pyramid.

    Args:
        detector: used at every level.
        proposal_levels: levels that the RPN runs on; the paper uses one, 600 pixels. Proposals of several levels are
            merged by NMS into as many as one level gives.
        side: a region is pooled from the two levels where its area is nearest to side^2 network input pixels; 224 in
            SPP-net (He et al. 2014, Sect. 4.1).
    """

    def __init__(self, detector: FasterRCNN, proposal_levels: Sequence[int] = (0,), side: float = 224) -> None:
        self.detector, self.proposal_levels, self.side = detector, tuple(proposal_levels), side

    def trunk(self, batch: Pyramid) -> list[Features]:
        """The features of each level."""
        return [self.detector.trunk(level) for level in batch.levels]

    def propose(self, features: list[Features]) -> Proposals:
        """Proposals [N, R, 4] of the proposal levels."""
        found = [self.detector.propose(features[level]) for level in self.proposal_levels]
        settings = self.detector.rpn.settings
        return found[0] if len(found) == 1 else merge_proposals(found, settings.nms_iou, found[0].boxes.shape[1])

    def embed(self, features: list[Features], regions: Tensor) -> Tensor:
        """Vectors float32 [N, R, C] of regions [N, R, 4], or [N, R, 2C] with global context.

        The context is pooled at the first proposal level, the scale of training. Chosen by area, the whole-image region
        would always use the two smallest levels, at which the detector was never trained.
        """
        vectors = self._embed(features, regions)
        if not self.detector.head.settings.context:
            return vectors
        level = features[self.proposal_levels[0]]
        return concatenate_context(vectors, self.detector.vectors(level, whole_image(level.image_sizes).float()))

    def predict(self, vectors: Tensor, regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities [N, R, K+1] and boxes [N, R, K, 4] by the detector's head."""
        return self.detector.predict(vectors, regions, image_sizes)

    def _embed(self, features: list[Features], regions: Tensor) -> Tensor:
        chosen = nearest_levels(regions, torch.stack([f.scale for f in features]), self.side)
        parts = []
        for level, own in enumerate(features):
            here = (chosen == level).any(-1)  # bool [N, R]
            count = int(here.sum(1).max())  # waits for the device once per level, at test time only
            if count == 0:
                continue
            index = here.to(torch.int8).argsort(stable=True, dim=1, descending=True)[:, :count]
            vectors = self.detector.vectors(own, gather_boxes(regions, index))
            parts.append((index, vectors.masked_fill(~here.gather(1, index)[..., None], -torch.inf)))
        best = parts[0][1].new_full((*regions.shape[:2], parts[0][1].shape[-1]), -torch.inf)
        for index, vectors in parts:
            best.scatter_reduce_(1, index[..., None].expand_as(vectors), vectors, "amax")
        return best


def nearest_levels(regions: Tensor, scales: Tensor, side: float) -> Tensor:
    """The two levels where each region's area is nearest to side^2 network input pixels: int64 [N, R, 2].

    Args:
        regions: [N, R, 4], in image pixels.
        scales: [L, N, 4], `Features.scale` of each level. Levels ascend, so that the two nearest are adjacent; with
            one level the result is [N, R, 1].
        side: in network input pixels.
    """
    areas = area(regions)[..., None] * (scales[..., 0] * scales[..., 1]).T[:, None]  # [N, R, L]
    return (areas - side**2).abs().topk(min(2, len(scales)), dim=-1, largest=False).indices
