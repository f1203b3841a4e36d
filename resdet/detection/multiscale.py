"""Multi-scale testing (App. B): an image pyramid, each region pooled from two adjacent scales, the maximum of both.

    views = Pyramid([batch_200, batch_400, batch_600, batch_800, batch_1000])
    detector = MultiScale(faster_rcnn, proposal_levels=[2])
    features = detector.trunk(views)                            # each trunk's map
    vectors = detector.embed(features, proposals.boxes)         # RoI pooling and conv5 on two maps, then the maximum

The siblings come after the maximum, as in "Spatial pyramid pooling" and maxout (the paper's [33]).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from resdet.boxes.geometry import area
from resdet.boxes.proposals import Proposals, unite_proposals
from resdet.detection.context import beside, whole_image
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.structures import Features, Pyramid


class MultiScale:
    """The four functions of a detector on a pyramid.

    Args:
        detector: a plain one.
        proposal_levels: which levels propose; the paper has one of five, 600 pixels. Proposals of several are united
            by NMS into as many as one gives.
        side: a region's two scales are those where its area is nearest to side^2 pixels, 224 (He et al. 2014, SPP-net,
            Sect. 4.1).
    """

    def __init__(self, detector: FasterRCNN, proposal_levels: Sequence[int] = (0,), side: float = 224) -> None:
        self.detector, self.proposal_levels, self.side = detector, tuple(proposal_levels), side

    def trunk(self, views: Pyramid) -> list[Features]:
        """The trunk on each level."""
        return [self.detector.trunk(level) for level in views.levels]

    def propose(self, features: list[Features]) -> Proposals:
        """Of the chosen levels, together."""
        found = [self.detector.propose(features[level]) for level in self.proposal_levels]
        settings = self.detector.rpn.settings
        return found[0] if len(found) == 1 else unite_proposals(found, settings.nms_iou, found[0].boxes.shape[1])

    def embed(self, features: list[Features], regions: Tensor) -> Tensor:
        """float32 [N, R, C], or with global context [N, R, 2C].

        The whole image is seen at the scale that proposes, as in training: by its area it would always be at the two
        smallest, where the detector has never seen it.
        """
        own = self._embed(features, regions)
        if not self.detector.head.settings.context:
            return own
        level = features[self.proposal_levels[0]]
        return beside(own, self.detector.vectors(level, whole_image(level.image_sizes).float()))

    def predict(self, vectors: Tensor, regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The detector's own siblings."""
        return self.detector.predict(vectors, regions, image_sizes)

    def _embed(self, features: list[Features], regions: Tensor) -> Tensor:
        chosen = nearest_levels(regions, torch.stack([f.scale for f in features]), self.side)
        parts = []
        for level, own in enumerate(features):
            here = (chosen == level).any(-1)  # bool [N, R]
            count = int(here.sum(1).max())  # one look at the device a level: at test alone
            if count == 0:
                continue
            index = here.to(torch.int8).argsort(stable=True, dim=1, descending=True)[:, :count]
            rows = regions.gather(1, index[..., None].expand(-1, -1, 4))
            vectors = self.detector.vectors(own, rows)
            parts.append((index, vectors.masked_fill(~here.gather(1, index)[..., None], -torch.inf)))
        best = parts[0][1].new_full((*regions.shape[:2], parts[0][1].shape[-1]), -torch.inf)
        for index, vectors in parts:
            best.scatter_reduce_(1, index[..., None].expand_as(vectors), vectors, "amax")
        return best


def nearest_levels(regions: Tensor, scales: Tensor, side: float) -> Tensor:
    """The two levels where each region's area is nearest to side^2 network input pixels: int64 [N, R, 2].

    `regions` [N, R, 4], `scales` [L, N, 4] as in Features.scale. With one level, [N, R, 1]. The area grows with the
    level, so that the two nearest are adjacent.
    """
    areas = area(regions)[..., None] * (scales[..., 0] * scales[..., 1]).T[:, None]  # [N, R, L]
    return (areas - side**2).abs().topk(min(2, len(scales)), dim=-1, largest=False).indices
