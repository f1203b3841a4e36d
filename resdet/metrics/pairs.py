"""The mean difference of two systems on the same images, with its standard error."""

from __future__ import annotations

import numpy as np

from resdet.metrics.flat import Array


def paired_difference(first: Array, second: Array) -> tuple[float, float]:
    """Mean and standard error of ``second - first`` over images.

    Because the difference is taken per image, images that are hard or easy for both do not add to the standard error.

    Args:
        first, second: [N], a value of each system per image, such as 1 where it is wrong.

    Returns:
        (mean, standard error).

    Raises:
        ValueError: different numbers of images, or none.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} answers are no pairs")
    difference = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    spread = difference.std(ddof=1) if len(difference) > 1 else 0.0
    return float(difference.mean()), float(spread / np.sqrt(len(difference)))
