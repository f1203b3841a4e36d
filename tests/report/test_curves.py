"""Precision-recall and training curves."""

from __future__ import annotations

import cv2
import matplotlib
import numpy as np
import pytest

from helpers.report import Result, records, results
from resdet.report.curves import precision_recall_plot, training_plot
from resdet.report.plots import plot_svg, save_plot


def legend_texts(figure) -> list[str]:
    return [t.get_text() for t in figure.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize(("count", "named"), [(1, 1), (20, 20), (80, 11), (200, 11)])
def test_many_classes_name_only_the_extremes(count: int, named: int):
    figure = precision_recall_plot(results(count), [f"class {i}" for i in range(count)], "test")
    texts = legend_texts(figure)
    assert len(texts) == named
    assert texts[0] == "90.0  class 0"  # the best first
    assert len(figure.axes[0].lines) == count
    assert plot_svg(figure).startswith("<svg")


def test_drawn_precision_is_the_interpolated_one():
    hits = np.array([0, 1, 0, 1, 1])
    recall, precision = np.cumsum(hits) / 3, np.cumsum(hits) / np.arange(1, 6)
    (line,) = precision_recall_plot([Result(recall, precision, 0.6)], ["a"], "test").axes[0].lines
    assert line.get_xdata()[-1] == 1
    assert np.allclose(line.get_ydata(), 0.6)


def test_a_long_curve_is_thinned():
    n = 200_000
    result = Result(np.linspace(0, 1, n), np.linspace(1, 0.2, n), 0.6)
    (line,) = precision_recall_plot([result], ["a"], "test").axes[0].lines
    assert len(line.get_xdata()) < 1000


def test_undefined_classes_are_counted_and_an_empty_figure_says_so():
    nothing = Result(np.zeros(0), np.zeros(0), float("nan"))
    assert legend_texts(precision_recall_plot([*results(2), nothing], ["a", "b", "c"], "t"))[-1] == "1 undefined"
    assert "no class has a defined AP" in plot_svg(precision_recall_plot([nothing], ["a"], "t"))
    assert "no class has a defined AP" in plot_svg(precision_recall_plot([], [], "t"))


def test_a_class_that_nobody_detected_has_a_legend_but_no_area():
    texts = legend_texts(precision_recall_plot([Result(np.zeros(0), np.zeros(0), 0.0)], ["a"], "t"))
    assert texts == ["0.0  a"]


def test_class_names_and_titles_are_drawn_literally():
    figure = precision_recall_plot(results(2), ["_$x$_", "<b>&"], "from $5 to $9")
    svg = plot_svg(figure)
    assert "_$x$_</text>" in svg
    assert "from $5 to $9</text>" in svg
    assert "&lt;b&gt;&amp;" in svg
    assert "<b>" not in svg


def test_training_panels_follow_what_was_logged():
    assert [a.get_ylabel() for a in training_plot(records()).axes] == ["loss", "validation (%)", "learning rate"]
    assert [a.get_ylabel() for a in training_plot([{"iteration": 1, "loss": 2.0}]).axes] == ["loss"]
    assert "nothing has been logged" in plot_svg(training_plot([]))
    assert "nothing has been logged" in plot_svg(training_plot([{"iteration": 1, "loss": float("nan")}]))


def test_a_validation_is_drawn_in_percent_as_the_tables_are():
    (_, panel, _) = training_plot(records()).axes
    assert panel.lines[0].get_ydata().tolist() == [50.0, 60.0]
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["60.0  mAP50"]


def test_the_only_part_of_a_loss_does_not_hide_under_its_total():
    steps = [{"iteration": i, "loss": 2.0, "loss_class": 2.0} for i in range(1, 30)]
    assert legend_texts_of_losses(steps) == []
    assert legend_texts_of_losses([{**step, "loss_box": 0.0} for step in steps]) == ["total", "class", "box"]


def legend_texts_of_losses(steps) -> list[str]:
    legend = training_plot(steps).axes[0].get_legend()
    return [t.get_text() for t in legend.get_texts()] if legend else []


def test_loss_that_is_not_finite_or_explodes_does_not_hide_the_rest():
    steps = [{"iteration": i, "loss": 1.0} for i in range(1, 1001)]
    steps[3]["loss"], steps[4]["loss"] = float("nan"), float("inf")
    steps[5]["loss"] = 30.0
    assert training_plot(steps).axes[0].get_ylim()[1] < 5


def test_constant_loss_keeps_its_level_under_the_moving_mean():
    figure = training_plot([{"iteration": i, "loss": 2.0} for i in range(1, 100)])
    assert all(np.allclose(line.get_ydata(), 2.0) for line in figure.axes[0].lines)


def test_figures_leave_no_global_state_and_are_reproducible(tmp_path):
    before = dict(matplotlib.rcParams)
    first, second = (plot_svg(training_plot(records())) for _ in range(2))
    save_plot(training_plot(records()), tmp_path / "a.png")
    assert first == second
    assert dict(matplotlib.rcParams) == before
    assert cv2.imread(str(tmp_path / "a.png")).shape[1] > 1000


@pytest.mark.parametrize(
    ("low", "high", "labels"), [(1e-6, 1e-2, ["0.000001", "0.0001", "0.01"]), (0.002, 0.015, ["0.01"])]
)
def test_rates_are_labelled_in_decimals(low: float, high: float, labels: list[str]) -> None:
    rates = [{"iteration": i, "lr": float(lr), "loss": 1.0} for i, lr in enumerate(np.geomspace(high, low, 50), 1)]
    svg = plot_svg(training_plot(rates))
    assert [label for label in labels if f">{label}</text>" not in svg] == []


def test_a_users_settings_of_matplotlib_change_no_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = plot_svg(training_plot(records(30)))
    monkeypatch.setitem(matplotlib.rcParams, "figure.constrained_layout.use", True)
    assert plot_svg(training_plot(records(30))) == plain
