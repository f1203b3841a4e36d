"""Plots of a detector: precision-recall curves and training curves.

plot = precision_recall_plot(results, classes, "VOC 2007 test")
plot = training_plot(records)               # of scalars.json
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from resdet.report.plots import (
    INK,
    MUTED,
    WIDTH,
    Series,
    add_legend,
    colour_of,
    empty_plot,
    key_of,
    label_iterations,
    label_powers,
    moving_mean,
    series_of,
    short_name,
    style,
)
from resdet.report.tables import format_ap

MOST_LABELLED = 20  # with more classes only the best and the worst ones are named
EXTREMES = 5  # classes named at either end
MOST_METRICS = 6
MOST_POINTS = 800  # points drawn of a training curve; means are over all of them


class PrecisionRecallCurve(Protocol):
    """The curve of one class: recall and precision [n], sorted by descending score, and AP (NaN if undefined)."""

    @property
    def recall(self) -> NDArray[np.floating]: ...  # noqa: D102
    @property
    def precision(self) -> NDArray[np.floating]: ...  # noqa: D102
    @property
    def ap(self) -> float: ...  # noqa: D102


# ---------------------------------------------------------------------------------------------- precision and recall


def precision_recall_plot(results: Sequence[PrecisionRecallCurve], classes: Sequence[str], title: str) -> Figure:
    """An interpolated precision-recall curve per class, with a legend in descending order of AP.

    The precision is interpolated as for AP: at each recall the highest precision at this or a higher recall (VOC
    devkit, `VOCevaldet.m`). With more than `MOST_LABELLED` classes only the `EXTREMES` best and worst are coloured and
    named, the others are grey. Classes with an undefined AP have no curve; the legend counts them.

    Args:
        results: by label.
        classes: names, by label.
        title: of the plot.

    Raises:
        ValueError: there are not as many results as classes.
    """
    if len(results) != len(classes):
        raise ValueError(f"{len(results)} results but {len(classes)} classes")
    defined = [i for i in range(len(results)) if math.isfinite(results[i].ap)]
    if not defined:
        return empty_plot(title, "no class has a defined AP")
    ranked = sorted(defined, key=lambda i: -results[i].ap)
    crowded = len(ranked) > MOST_LABELLED
    named = ranked[:EXTREMES] + ranked[-EXTREMES:] if crowded else ranked

    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for i in ranked:
        if i not in named:
            axes.plot(*_interpolated(results[i]), color=MUTED, alpha=0.25, linewidth=0.7, drawstyle="steps-pre")
    for i in reversed(named):  # the best last, on top
        axes.plot(*_interpolated(results[i]), color=colour_of(i), linewidth=1.6, drawstyle="steps-pre")
    style(axes, title)
    axes.set(xlim=(0, 1.005), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    handles = [key_of(colour_of(i)) for i in named]
    labels = [f"{format_ap(results[i].ap)}  {short_name(classes[i])}" for i in named]
    if crowded:
        handles.insert(EXTREMES, key_of(MUTED, alpha=0.4))
        labels.insert(EXTREMES, f"{len(ranked) - len(named)} more")
    if len(defined) < len(results):
        handles.append(key_of("none"))
        labels.append(f"{len(results) - len(defined)} undefined")
    add_legend(axes, handles, labels, title="AP  class", loc="upper left", bbox_to_anchor=(1.01, 1.02))
    return figure


def _interpolated(result: PrecisionRecallCurve) -> Series:
    """Recall and precision at the curve's corners; of corners on the same point of a grid of 1/400 only the last."""
    recall, precision = np.asarray(result.recall, float), np.asarray(result.precision, float)
    fine = np.isfinite(recall) & np.isfinite(precision)
    recall, precision = recall[fine], precision[fine]
    if not len(recall):
        return np.zeros(1), np.zeros(1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    grid = np.stack([np.round(recall * 400), np.round(envelope * 400)])
    corner = np.append(np.any(np.diff(grid) != 0, axis=0), True)  # the last point of each run of equal ones
    return np.append(0.0, recall[corner]), np.append(envelope[0], envelope[corner])


# ---------------------------------------------------------------------------------------------- training


def training_plot(records: Sequence[Mapping[str, Any]], title: str = "training") -> Figure:
    """Losses, validation results and learning rate over iterations, one panel each; panels without data are left out.

    Losses are drawn faint as logged, and bold as a centred moving average over 1/25 of the run. Of losses with a single
    part only the total is drawn, which is the same. Validation results are in percent.

    Args:
        records: of scalars.json: mappings with "iteration" and any of "loss", "loss_...", "lr" and "val/...".
            Values that are not finite and other keys are ignored.
        title: above the first panel.
    """
    losses = {k: s for k in _keys(records, "loss") if len((s := series_of(records, k))[0])}
    losses = {"loss": losses["loss"]} if "loss" in losses and len(losses) == 2 else losses
    metrics = {k: s for k in _keys(records, "val/")[:MOST_METRICS] if len((s := series_of(records, k))[0])}
    rate = series_of(records, "lr")
    panels: list[tuple[float, Callable[[Any, Mapping[str, Series]], None], Mapping[str, Series]]]
    panels = [(2.5, _draw_losses, losses)] if losses else []
    panels += [(1.8, _draw_metrics, metrics)] if metrics else []
    panels += [(1.2, _draw_rate, {"lr": rate})] if len(rate[0]) else []
    if not panels:
        return empty_plot(title, "nothing has been logged yet")

    heights = [height for height, _, _ in panels]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.6), layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for i, (axes, (_, draw, series)) in enumerate(zip(rows, panels, strict=True)):
        draw(axes, series)
        style(axes, title if i == 0 else "")
    label_iterations(rows[-1])
    rows[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def _draw_losses(axes: Any, losses: Mapping[str, Series]) -> None:
    peaks = []
    ordered = sorted(losses, key=lambda k: k != "loss")  # the total is first
    colours = {k: INK if k == "loss" else colour_of(i) for i, k in enumerate(ordered)}
    for key in reversed(ordered):
        x, y = losses[key]
        smooth = moving_mean(y, window=max(1, len(y) // 25))
        step = max(1, len(y) // MOST_POINTS)
        axes.plot(x[::step], y[::step], color=colours[key], alpha=0.22, linewidth=0.6)
        axes.plot(x[::step], smooth[::step], color=colours[key], linewidth=1.8 if key == "loss" else 1.3)
        peaks.append(max(float(np.quantile(y, 0.995)), float(smooth.max())))
    low = min(float(y.min()) for _, y in losses.values())
    axes.set_ylim(min(0.0, 1.05 * low), (1.06 * max(peaks)) or 1.0)  # a single very large loss does not set the scale
    axes.set_ylabel("loss")
    if len(ordered) > 1 or ordered != ["loss"]:
        names = ["total" if k == "loss" else short_name(k.removeprefix("loss_")) for k in ordered]
        add_legend(axes, [key_of(colours[k]) for k in ordered], names, loc="upper right")


def _draw_metrics(axes: Any, metrics: Mapping[str, Series]) -> None:
    for i, (x, y) in enumerate(metrics.values()):
        axes.plot(x, 100 * y, color=colour_of(i), linewidth=1.5, marker="o", markersize=3.2)
    names = [f"{100 * y[-1]:.1f}  {short_name(key.removeprefix('val/'))}" for key, (_, y) in metrics.items()]
    handles = [key_of(colour_of(i)) for i in range(len(metrics))]
    axes.set_ylabel("validation (%)")
    axes.margins(y=0.12)
    add_legend(axes, handles, names, loc="best", title="last value")


def _draw_rate(axes: Any, series: Mapping[str, Series]) -> None:
    x, y = series["lr"]
    step = max(1, len(y) // MOST_POINTS)
    axes.plot(x[::step], y[::step], color=INK, linewidth=1.4)
    axes.set_ylabel("learning rate")
    if y.min() > 0 and y.max() > 5 * y.min():
        axes.set_yscale("log")
        label_powers(axes.yaxis)


def _keys(records: Sequence[Mapping[str, Any]], prefix: str) -> list[str]:
    """All keys with this prefix, in order of first appearance."""
    return list(dict.fromkeys(key for record in records for key in record if key.startswith(prefix)))
