"""Top-k errors, confusions and paired differences, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from resdet.metrics.pairs import paired_difference
from resdet.metrics.topk import confusion_matrix, topk_error


def test_errors_and_confusions_worked_by_hand() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.4, 0.3, 0.3], [0.1, 0.2, 0.7]])
    labels = np.array([0, 2, 1, 2])
    assert topk_error(scores, labels, 1) == 50
    assert topk_error(scores, labels, 2) == 25  # equal scores count against the image
    assert confusion_matrix(scores, labels).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    assert topk_error(np.full((4, 3), np.nan), labels, 2) == 100  # a broken net is never right


def test_a_paired_difference_has_the_standard_error_of_its_own_spread() -> None:
    mean, error = paired_difference(np.array([1, 0, 1, 0]), np.array([0, 0, 1, 0]))
    assert mean == -0.25
    assert error == pytest.approx(np.std([-1, 0, 0, 0], ddof=1) / 2)
    hard = np.random.default_rng(0).random(1000) < 0.5  # what both find hard does not count
    assert paired_difference(hard, hard) == (0, 0)
