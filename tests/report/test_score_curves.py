"""Precision, recall and F1 against the score."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.report import ScoredResult, scored_results
from resdet.report.plots import plot_svg
from resdet.report.score_curves import mean_curves, score_plot


def test_a_mean_is_over_the_classes_that_have_a_value():
    first, second = np.full((3, 101), 0.5), np.full((3, 101), np.nan)
    assert np.allclose(mean_curves(np.stack([first, second])), 0.5)
    assert np.isnan(mean_curves(second[None])).all()


@pytest.mark.parametrize(("count", "named"), [(5, 5), (80, 2)])
def test_few_classes_are_named_with_their_best_score_and_of_many_the_mean(count: int, named: int):
    figure = score_plot(scored_results(count), [f"class {i}" for i in range(count)])
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(texts) == named
    assert texts[0].startswith("mean  0.")
    assert len(figure.axes[0].lines) == count  # the mean, and all but the class without objects


def test_without_objects_or_detections_the_plot_says_so():
    none = ScoredResult(np.zeros(0), np.zeros(0), float("nan"), np.zeros(0), 0)
    assert "no class has objects" in plot_svg(score_plot([none], ["a"]))
    unfound = ScoredResult(np.zeros(0), np.zeros(0), 0.0, np.zeros(0), 3)
    assert "a  -" in plot_svg(score_plot([unfound], ["a"]))
