"""Top-k error: the share of images whose class is not among the k most probable; the confusion matrix.

Arrays in, numbers out.
"""

from __future__ import annotations

import numpy as np


def topk_wrong(scores: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Whether each image's class is not among its k most probable, bool [N].

    Args:
        scores: [N, K], higher is more probable; equal scores and NaNs count against the image.
        labels: int [N].
        k: guesses an image may make.
    """
    own = scores[np.arange(len(labels)), labels]
    better = (~(scores < own[:, None])).sum(1) - 1  # its own does not count
    return better >= k


def topk_error(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Error in percent; the arguments are `topk_wrong`'s."""
    if not len(labels):
        raise ValueError("no images: there is no error to compute")
    return float(100 * topk_wrong(scores, labels, k).mean())


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many images of class i (row) have class j (column) as their most probable one, int64 [K, K]."""
    K = scores.shape[1]
    return np.bincount(labels * K + scores.argmax(1), minlength=K * K).reshape(K, K)
