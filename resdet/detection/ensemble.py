"""Ensembles of detectors (App. B): the union of their proposals, every one classified by all of them.

    ensemble = Ensemble([resnet50, resnet101])      # detectors of the same classes, or MultiScale, Flipped ones
    detections = Tester([...])                      # detection/inference.py does it all

Scores and boxes are averaged. Each trunk runs once an image; decoding, resizing and NMS are shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from resdet.boxes.proposals import Proposals
from resdet.detection.four_functions import FourFunctions


class Ensemble:
    """The four functions of several detectors at once."""

    def __init__(self, members: Sequence[FourFunctions]) -> None:
        if not members:
            raise ValueError("an ensemble needs at least one detector")
        self.members = list(members)

    def trunk(self, views: Any) -> list[Any]:
        """Each member's features."""
        return [member.trunk(views) for member in self.members]

    def propose(self, features: list[Any]) -> Proposals:
        """The union: the first member's proposals, then the second's ..., their scores side by side."""
        found = [member.propose(own) for member, own in zip(self.members, features, strict=True)]
        boxes, scores, valid = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return Proposals(boxes, scores, valid)

    def embed(self, features: list[Any], regions: Tensor) -> list[Any]:
        """Each member's vectors of all regions."""
        return [member.embed(own, regions) for member, own in zip(self.members, features, strict=True)]

    def predict(self, vectors: list[Any], regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The means of the members' probabilities and of their boxes."""
        pairs = zip(self.members, vectors, strict=True)
        scores, boxes = zip(*(member.predict(own, regions, image_sizes) for member, own in pairs), strict=True)
        return torch.stack(scores).mean(0), torch.stack(boxes).mean(0)
