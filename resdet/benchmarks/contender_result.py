"""What a comparison of detectors finds of one of them; apart from accuracy.py, which needs torchvision's detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resdet.metrics.bootstrap import Difference


@dataclass
class ContenderResult:
    """One contender's results, and its difference to the first contender. Every list has a value in 0..1 per seed.

    Attributes:
        name: of the contender.
        map50: mAP at IoU 0.5.
        map50_95: mAP averaged over IoU 0.5:0.05:0.95.
        per_class: AP at IoU 0.5, by name of the class.
        lead: difference of mAP at IoU 0.5; None for the first contender.
    """

    name: str
    map50: list[float]
    map50_95: list[float]
    per_class: dict[str, list[float]]
    lead: Difference | None

    def plain(self) -> dict[str, Any]:
        """The result as plain data, for JSON."""
        return {**vars(self), "lead": None if self.lead is None else vars(self.lead)}
