"""How detectors are tested: plainly, or with any of Appendix B's improvements, alone or together.

tester = Tester([detector])                                                   # as detector.detect
tester = Tester([r50, r101], Testing(refinement=Refinement(), scales=(400, 600, 800), proposal_scales=(600,)))
detections = tester.detect(pyramid)                                           # one Detections an image
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from resdet.boxes.nms import multiclass_nms
from resdet.boxes.soft_nms import SoftNMS, multiclass_soft_nms
from resdet.boxes.voting import vote
from resdet.detection.ensemble import Ensemble
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.flipping import Flipped
from resdet.detection.four_functions import FourFunctions
from resdet.detection.multiscale import MultiScale
from resdet.detection.refinement import Predictions, Refinement, refine
from resdet.errors import UserError
from resdet.structures import Batch, Detections, Pyramid

SMALLEST = 16  # short side of a pyramid, a cell of the map


@dataclass(frozen=True)
class Testing:
    """A config's section `testing`; the default is a plain test.

    Args:
        refinement: of the boxes, see `Refinement`; None: none.
        scales: short sides of an image pyramid, {200, 400, 600, 800, 1000} in the paper; (): the one size of
            `data.resizer`, whose long side scales along.
        proposal_scales: those of them that propose; the paper has one, 600. (): the one nearest to `data.resizer`.
        region_side: see `MultiScale.side`. Regions should be seen at about the size that the detector learnt them at:
            docs/RESULTS.md shows what it costs if they are not.
        flip: average over the mirror image too.
        soft_nms: instead of NMS.
    """

    refinement: Refinement | None = None
    scales: Sequence[int] = ()
    proposal_scales: Sequence[int] = ()
    region_side: float = 224
    flip: bool = False
    soft_nms: SoftNMS | None = None

    def __post_init__(self) -> None:
        if self.scales and min(self.scales) < SMALLEST:
            raise UserError(f"testing.scales: {min(self.scales)} pixels are less than a cell of the map, {SMALLEST}")
        if list(self.scales) != sorted(set(self.scales)):
            raise UserError(f"testing.scales is {tuple(self.scales)}: give short sides in rising order")
        absent = [scale for scale in self.proposal_scales if scale not in self.scales]
        if absent:
            raise UserError(f"testing.proposal_scales: {absent[0]} is not among testing.scales {tuple(self.scales)}")

    def proposal_levels(self, short: int) -> list[int]:
        """Indices into `scales` of those that propose, for a resizer of this short side."""
        if self.proposal_scales:
            return [list(self.scales).index(scale) for scale in self.proposal_scales]
        return [min(range(len(self.scales)), key=lambda i: abs(self.scales[i] - short))]


class Tester:
    """Detectors of the same classes, ready to detect; NMS and score floor are the first one's.

    Args:
        detectors: one, or an ensemble.
        testing: how.
        short: the short side that the detectors were trained at, which proposes unless `testing` says otherwise.
    """

    def __init__(self, detectors: Sequence[FasterRCNN], testing: Testing | None = None, short: int = 600) -> None:
        self.detectors, self.testing = list(detectors), testing or Testing()
        members = [self._member(detector, short) for detector in self.detectors]
        self.composed: FourFunctions = members[0] if len(members) == 1 else Ensemble(members)
        self.settings = self.detectors[0].head.settings

    @torch.inference_mode()
    def detect(self, views: Batch | Pyramid) -> list[Detections]:
        """The detections of each image. A Pyramid where `testing` has scales, else a Batch; detectors in eval mode."""
        detector, sizes = self.composed, views.image_sizes
        features = detector.trunk(views)
        proposals = detector.propose(features)
        vectors = detector.embed(features, proposals.boxes)
        found = Predictions(*detector.predict(vectors, proposals.boxes, sizes), proposals.valid)
        if self.testing.refinement is not None:
            found = refine(detector, features, found, sizes, self.testing.refinement)
        return self.detections(found)

    def detections(self, found: Predictions) -> list[Detections]:
        """NMS by class and, after refinement, voting; the best of each image."""
        scores = found.scores[..., :-1] * found.valid[..., None]
        return [self._suppress(boxes, own) for boxes, own in zip(found.boxes, scores, strict=True)]

    def eval(self) -> Tester:
        """All detectors in eval mode."""
        for detector in self.detectors:
            detector.eval()
        return self

    def _member(self, detector: FasterRCNN, short: int) -> FourFunctions:
        testing, member = self.testing, cast(FourFunctions, detector)
        if testing.scales:
            member = MultiScale(detector, testing.proposal_levels(short), testing.region_side)
        return Flipped(member) if testing.flip else member

    def _suppress(self, boxes: Tensor, scores: Tensor) -> Detections:
        """NMS, then voting: boxes [R, K, 4] and scores [R, K] of one image."""
        s, refinement, soft = self.settings, self.testing.refinement, self.testing.soft_nms
        iou = s.nms_iou if refinement is None else refinement.nms_iou
        if soft is None:
            kept, values, labels = multiclass_nms(boxes, scores, s.score_floor, iou, s.max_detections)
        else:
            kept, values, labels = multiclass_soft_nms(boxes, scores, soft, s.score_floor, s.max_detections)
        if refinement is not None and refinement.voting_iou is not None:
            kept = vote(kept, labels, boxes, scores, refinement.voting_iou)
        return Detections(kept, values, labels)
