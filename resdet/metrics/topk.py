"""Top-k error: the share of images whose class is not among the k most probable (arrays in, numbers out)."""

from __future__ import annotations

import numpy as np


def topk_error(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Error in percent.

    Args:
        scores: [N, K], higher is more probable; equal scores count against the image.
        labels: int [N].
        k: guesses an image may make.
    """
    if not len(labels):
        raise ValueError("no images: there is no error to compute")
    own = scores[np.arange(len(labels)), labels]
    better = (scores >= own[:, None]).sum(1) - 1  # its own does not count
    return float(100 * np.mean(better >= k))
