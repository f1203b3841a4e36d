"""Box refinement (App. B): the head looks again at its own boxes, and both answers together are suppressed and voted.

found = Predictions(*detector.predict(vectors, regions, sizes), proposals.valid)
found = refine(detector, features, found, sizes, Refinement())      # twice as many
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resdet.detection.four_functions import FourFunctions
from resdet.errors import UserError


@dataclass(frozen=True)
class Refinement:
    """The paper's: one round, NMS at an IoU of .3, then voting.

    Args:
        rounds: each pools from the boxes of the one before.
        classes: whose boxes are pooled again: of each region those of its so many most probable classes.
        nms_iou: of NMS on the union of all predictions.
        voting_iou: from which IoU on a box votes for a kept one; None: no voting.
    """

    rounds: int = 1
    classes: int = 1
    nms_iou: float = 0.3
    voting_iou: float | None = 0.5

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.classes < 1:
            raise UserError("refinement: rounds and classes are at least 1; leave refinement out for none")


class Predictions(NamedTuple):
    """What the head says of R regions an image."""

    scores: Tensor  # float32 [N, R, K+1], the background last
    boxes: Tensor  # float32 [N, R, K, 4], in image pixels
    valid: Tensor  # bool [N, R], False where there is no region


def refine(
    detector: FourFunctions, features: Any, found: Predictions, image_sizes: Tensor, settings: Refinement
) -> Predictions:
    """The predictions and those of their own boxes, one after the other: R (1 + classes + ...) an image."""
    rounds = [found]
    for _ in range(settings.rounds):
        regions, valid = best_boxes(rounds[-1], settings.classes)
        vectors = detector.embed(features, regions)
        rounds.append(Predictions(*detector.predict(vectors, regions, image_sizes), valid))
    scores, boxes, valid = (torch.cat(parts, 1) for parts in zip(*rounds, strict=True))
    return Predictions(scores, boxes, valid)


def best_boxes(found: Predictions, classes: int) -> tuple[Tensor, Tensor]:
    """The boxes of each region's most probable classes, the background aside: [N, R * classes, 4] and their masks."""
    count = min(classes, found.boxes.shape[2])
    best = found.scores[..., :-1].topk(count, dim=-1).indices  # [N, R, classes]
    boxes = found.boxes.gather(2, best[..., None].expand(-1, -1, -1, 4)).flatten(1, 2)
    sound = boxes.isfinite().all(-1)
    valid = found.valid.repeat_interleave(count, 1) & sound
    return torch.where(valid[..., None], boxes, 0.0), valid
