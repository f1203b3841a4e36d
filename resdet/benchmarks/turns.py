"""Statistics of contenders that are measured in turns, so that changes in the machine's load affect all of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


def medians(turns: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Median over the turns, by contender.

    Args:
        turns: what was measured in every turn (seconds, images per second), by contender.
    """
    return {name: statistics.median(values) for name, values in turns.items()}


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median over the turns of `above` divided by `below`, which were measured in the same turns.

    Raises:
        ValueError: the two have different numbers of turns.
    """
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
