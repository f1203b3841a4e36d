"""Two ways to answer the same questions: their difference, and how sure it is (arrays in, numbers out)."""

from __future__ import annotations

import numpy as np


def paired_difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Mean of ``second - first`` over images, and its standard error; both [N], such as 1 where an answer is wrong.

    Paired: what both find hard or easy does not count as uncertainty.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} answers are no pairs")
    difference = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    spread = difference.std(ddof=1) if len(difference) > 1 else 0.0
    return float(difference.mean()), float(spread / np.sqrt(len(difference)))
