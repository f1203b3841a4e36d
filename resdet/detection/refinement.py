"""Box refinement (App. B): the head is applied again to its own boxes; NMS and voting run on all predictions together.

    found = Predictions(*detector.predict(vectors, regions, sizes), proposals.valid)
    found = refine(detector, features, found, sizes, Refinement())      # 2R predictions per image

Shapes: N images, R regions per image, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resdet.detection.four_functions import FourFunctions
from resdet.errors import UserError
from resdet.ranges import Count, Share


@dataclass(frozen=True)
class Refinement:
    """Settings of box refinement and voting; the defaults are the paper's.

    Args:
        rounds: times that the head is applied again, each time to the boxes of the round before.
        classes: boxes of the `classes` most probable classes of each region are pooled again (choice: 1; the paper does
            not say which).
        nms_iou: IoU threshold of NMS on the predictions of all rounds; replaces HeadSettings.nms_iou.
        voting_iou: minimum IoU at which a box votes for a box that NMS kept; None disables voting.

    Raises:
        UserError: `rounds` or `classes` is below 1.
    """

    rounds: Count = 1
    classes: Count = 1
    nms_iou: Share = 0.3
    voting_iou: float | None = 0.5

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.classes < 1:
            raise UserError("refinement: rounds and classes must be at least 1; set refinement=None to disable it")


class Predictions(NamedTuple):
    """The head's predictions for R regions per image, before NMS."""

    scores: Tensor  # float32 [N, R, K+1], probabilities, background last
    boxes: Tensor  # float32 [N, R, K, 4], in image pixels
    valid: Tensor  # bool [N, R], False in padding


def refine(
    detector: FourFunctions, features: Any, found: Predictions, image_sizes: Tensor, settings: Refinement
) -> Predictions:
    """`found` and the predictions of each round concatenated: R * (1 + classes + classes^2 ...) per image.

    Args:
        detector: its `embed` and `predict` are called once per round.
        features: of ``detector.trunk``.
        found: predictions of the proposals.
        image_sizes: int64 [N, 2], (height, width).
        settings: rounds and classes.
    """
    rounds = [found]
    for _ in range(settings.rounds):
        regions, valid = best_boxes(rounds[-1], settings.classes)
        vectors = detector.embed(features, regions)
        rounds.append(Predictions(*detector.predict(vectors, regions, image_sizes), valid))
    scores, boxes, valid = (torch.cat(parts, 1) for parts in zip(*rounds, strict=True))
    return Predictions(scores, boxes, valid)


def best_boxes(found: Predictions, classes: int) -> tuple[Tensor, Tensor]:
    """Boxes of the `classes` most probable classes of each region, background excluded, to be pooled again.

    Returns:
        boxes [N, R * classes, 4] and valid bool [N, R * classes]; boxes that are not finite become zero and invalid.
    """
    count = min(classes, found.boxes.shape[2])
    best = found.scores[..., :-1].topk(count, dim=-1).indices  # [N, R, classes]
    boxes = found.boxes.gather(2, best[..., None].expand(-1, -1, -1, 4)).flatten(1, 2)
    sound = boxes.isfinite().all(-1)
    valid = found.valid.repeat_interleave(count, 1) & sound
    return torch.where(valid[..., None], boxes, 0.0), valid
