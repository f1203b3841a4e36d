"""Detection at test time: the plain test, or any combination of Appendix B's improvements.

    inference = Inference([detector])
    inference = Inference([r50, r101], InferenceSettings(refinement=Refinement(), scales=(400, 600, 800)))
    detections = inference.detect(batch)       # batch: a Pyramid where there are scales; one Detections per image

Shapes: N images, R regions per image, K classes.
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
from resdet.detection.faster_rcnn import STRIDE, FasterRCNN
from resdet.detection.flipping import Flipped
from resdet.detection.four_functions import FourFunctions
from resdet.detection.multiscale import MultiScale
from resdet.detection.refinement import Predictions, Refinement, refine
from resdet.errors import UserError
from resdet.ranges import Count, Positive
from resdet.structures import Batch, Detections, Pyramid


@dataclass(frozen=True)
class InferenceSettings:
    """A config's section `testing`; the defaults are the plain test.

    Args:
        refinement: box refinement and voting (App. B); None disables both.
        scales: short sides of the image pyramid in pixels, ascending; {200, 400, 600, 800, 1000} in the paper. The
            limit on the long side scales along. (): the single scale of `data.resizer`.
        proposal_scales: the members of `scales` that the RPN runs on; 600 in the paper. (): the one nearest to the
            short side of `data.resizer`.
        region_side: a region is pooled from the two scales where its area is nearest to region_side^2 pixels
            (`MultiScale.side`). Set it to the typical size of regions in training (docs/RESULTS.md: the effect of
            another value).
        flip: average the predictions of each image and its mirror image (not in the paper).
        soft_nms: Soft-NMS in place of NMS (not in the paper); None is NMS.

    Raises:
        UserError: `scales` are not ascending or below the stride of 16, or `proposal_scales` are not among them.
    """

    refinement: Refinement | None = None
    scales: Sequence[Count] = ()
    proposal_scales: Sequence[Count] = ()
    region_side: Positive = 224
    flip: bool = False
    soft_nms: SoftNMS | None = None

    def __post_init__(self) -> None:
        for name in ("scales", "proposal_scales"):  # equal settings compare equal, whether a list or a tuple was given
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.scales and min(self.scales) < STRIDE:
            raise UserError(
                f"testing.scales: a short side of {min(self.scales)} pixels is below the stride of {STRIDE}"
            )
        if list(self.scales) != sorted(set(self.scales)):
            raise UserError(f"testing.scales is {tuple(self.scales)}: give short sides in ascending order")
        absent = [scale for scale in self.proposal_scales if scale not in self.scales]
        if absent:
            raise UserError(f"testing.proposal_scales: {absent[0]} is not among testing.scales {tuple(self.scales)}")

    def proposal_levels(self, short: int) -> list[int]:
        """Indices into `scales` of the proposal scales, for a resizer with a short side of `short` pixels."""
        if self.proposal_scales:
            return [list(self.scales).index(scale) for scale in self.proposal_scales]
        return [min(range(len(self.scales)), key=lambda i: abs(self.scales[i] - short))]


class Inference:
    """One detector or an ensemble, with the improvements of `settings`.

    The score floor, the NMS threshold and the number of detections are those of the first detector's HeadSettings.

    Args:
        detectors: trained on the same classes; several are an ensemble.
        settings: the improvements; None is the plain test.
        short: short side of the training images in pixels; proposals come from the nearest of the scales unless
            `settings` gives proposal scales.
    """

    def __init__(
        self, detectors: Sequence[FasterRCNN], settings: InferenceSettings | None = None, short: int = 600
    ) -> None:
        self.detectors, self.settings = list(detectors), settings or InferenceSettings()
        members = [self._member(detector, short) for detector in self.detectors]
        self.composed: FourFunctions = members[0] if len(members) == 1 else Ensemble(members)

    @torch.inference_mode()
    def detect(self, batch: Batch | Pyramid) -> list[Detections]:
        """Detections of each image in its original pixels. Call ``eval()`` before.

        Args:
            batch: a Pyramid of `settings.scales` where there are any, else a Batch.
        """
        detector, sizes = self.composed, batch.image_sizes
        features = detector.trunk(batch)
        proposals = detector.propose(features)
        vectors = detector.embed(features, proposals.boxes)
        found = Predictions(*detector.predict(vectors, proposals.boxes, sizes), proposals.valid)
        if self.settings.refinement is not None:
            found = refine(detector, features, found, sizes, self.settings.refinement)
        return self.postprocess(found)

    def postprocess(self, found: Predictions) -> list[Detections]:
        """Score floor, NMS within each class, box voting where refined, and the best `max_detections` per image."""
        scores = found.scores[..., :-1] * found.valid[..., None]  # [N, R, K], without the background
        return [self._suppress(boxes, own) for boxes, own in zip(found.boxes, scores, strict=True)]

    def eval(self) -> Inference:
        """Put all detectors in eval mode. Returns self."""
        for detector in self.detectors:
            detector.eval()
        return self

    def _member(self, detector: FasterRCNN, short: int) -> FourFunctions:
        settings, member = self.settings, cast(FourFunctions, detector)
        if settings.scales:
            member = MultiScale(detector, settings.proposal_levels(short), settings.region_side)
        return Flipped(member) if settings.flip else member

    def _suppress(self, boxes: Tensor, scores: Tensor) -> Detections:
        """NMS, then voting: boxes [R, K, 4] and scores [R, K] of one image."""
        head, refinement, soft = self.detectors[0].head.settings, self.settings.refinement, self.settings.soft_nms
        iou = head.nms_iou if refinement is None else refinement.nms_iou
        if soft is None:
            kept, values, labels = multiclass_nms(boxes, scores, head.score_floor, iou, head.max_detections)
        else:
            kept, values, labels = multiclass_soft_nms(boxes, scores, soft, head.score_floor, head.max_detections)
        if refinement is not None and refinement.voting_iou is not None:
            kept = vote(kept, labels, boxes, scores, refinement.voting_iou)
        return Detections(kept, values, labels)
