"""Statistics of contenders that are measured in turns, so that changes in the machine's load affect all of them."""

from __future__ import annotations

import statistics


class Turns(dict[str, list[float]]):
    """What was measured in every turn, by contender: "resdet fp32", "torchvision bf16" ..."""

    def medians(self) -> dict[str, float]:
        """Median over the turns, by contender."""
        return {name: statistics.median(values) for name, values in self.items()}

    def ratio(self, above: str, below: str) -> float:
        """Median over the turns of the value of contender `above` divided by that of `below`.

        Raises:
            ValueError: the two have different numbers of turns.
        """
        return statistics.median(a / b for a, b in zip(self[above], self[below], strict=True))
