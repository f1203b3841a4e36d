"""Classification: top-k error and the confusion matrix."""

from __future__ import annotations

import numpy as np

from resdet.metrics.flat import Array


def topk_wrong(scores: Array, labels: Array, k: int) -> Array:
    """Find the images whose class is not among the k classes with the highest scores.

    Args:
        scores: [N, K]. Other classes with an equal score count as higher, and so do NaNs.
        labels: int [N], the true classes.
        k: 1 to K.

    Returns:
        bool [N].
    """
    own = scores[np.arange(len(labels)), labels]
    better = (~(scores < own[:, None])).sum(1) - 1  # without the true class itself
    wrong: Array = better >= k
    return wrong


def topk_error(scores: Array, labels: Array, k: int) -> float:
    """Top-k error in percent of scores [N, K] and true classes int [N].

    Raises:
        ValueError: no images.
    """
    if not len(labels):
        raise ValueError("no images: there is no error to compute")
    return float(100 * topk_wrong(scores, labels, k).mean())


def confusion_matrix(scores: Array, labels: Array) -> Array:
    """Images of class i (row) classified as j (column): int64 [K, K], from scores [N, K] and true classes int [N]."""
    K = scores.shape[1]
    return np.bincount(labels * K + scores.argmax(1), minlength=K * K).reshape(K, K)
