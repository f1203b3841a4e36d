"""Ensembles of detectors (App. B): every detector classifies the union of all proposals; predictions are averaged.

    ensemble = Ensemble([resnet50, resnet101])              # or MultiScale and Flipped ones
    inference = Inference([resnet50, resnet101])            # detection/inference.py builds the ensemble itself

Each member's trunk runs once per image. NMS runs once, on the averages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from resdet.boxes.proposals import Proposals
from resdet.detection.four_functions import FourFunctions


class Ensemble:
    """The four functions of several detectors together; features and vectors are lists with one entry per member.

    Args:
        members: detectors of the same classes.

    Raises:
        ValueError: `members` is empty.
    """

    def __init__(self, members: Sequence[FourFunctions]) -> None:
        if not members:
            raise ValueError("an ensemble needs at least one detector")
        self.members = list(members)

    def trunk(self, batch: Any) -> list[Any]:
        """The features of each member."""
        return [member.trunk(batch) for member in self.members]

    def propose(self, features: list[Any]) -> Proposals:
        """The union of the members' proposals, without NMS: R is the sum of theirs."""
        found = [member.propose(own) for member, own in zip(self.members, features, strict=True)]
        boxes, scores, valid = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return Proposals(boxes, scores, valid)

    def embed(self, features: list[Any], regions: Tensor) -> list[Any]:
        """Each member's vectors of all regions [N, R, 4]."""
        return [member.embed(own, regions) for member, own in zip(self.members, features, strict=True)]

    def predict(self, vectors: list[Any], regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean class probabilities [N, R, K+1] and mean boxes [N, R, K, 4]."""
        pairs = zip(self.members, vectors, strict=True)
        scores, boxes = zip(*(member.predict(own, regions, image_sizes) for member, own in pairs), strict=True)
        return torch.stack(scores).mean(0), torch.stack(boxes).mean(0)
