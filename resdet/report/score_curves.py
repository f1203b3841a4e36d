"""Precision, recall and F1 against the score threshold, a curve per class.

plot = score_plot(results, classes)         # of evaluate_voc(...).classes
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resdet.metrics.precision_recall import ClassResult
from resdet.metrics.thresholds import at_scores
from resdet.report.plots import INK, MUTED, WIDTH, add_legend, colour_of, empty_plot, key_of, short_name, style

MOST_LABELLED = 10  # with more classes all are grey, and only their mean is named
THRESHOLDS = np.arange(101) / 100
PANELS = ("precision", "recall", "F1")


def score_plot(results: Sequence[ClassResult], classes: Sequence[str], title: str = "") -> Figure:
    """Three panels over the lowest score that is kept: precision, recall and F1, in 0..1.

    Classes without objects have no curve. The bold line is the mean over the others; the legend names the threshold
    with the highest F1 of each class and of the mean.

    Args:
        results: by label.
        classes: names, by label.
        title: above the first panel.
    """
    shown = [i for i in range(len(results)) if results[i].num_truth]
    if not shown:
        return empty_plot(title, "no class has objects")
    curves = np.stack([at_scores(results[i], THRESHOLDS) for i in shown])  # [K, 3, 101]
    mean = mean_curves(curves)
    few = len(shown) <= MOST_LABELLED
    figure = Figure(figsize=(WIDTH, 7.0), layout="constrained")
    rows = figure.subplots(3, 1, sharex=True)
    for row, (axes, name) in enumerate(zip(rows, PANELS, strict=True)):
        for curve, label in zip(curves, shown, strict=True):
            colour, alpha, width = (colour_of(label), 1.0, 1.4) if few else (MUTED, 0.25, 0.7)
            axes.plot(THRESHOLDS, curve[row], color=colour, alpha=alpha, linewidth=width)
        axes.plot(THRESHOLDS, mean[row], color=INK, linewidth=2)
        axes.set(xlim=(0, 1.005), ylim=(0, 1.02), ylabel=name)
        style(axes, title if row == 0 else "")
    rows[-1].set_xlabel("lowest score that is kept")
    named = [("mean", INK, mean[2])] + [(classes[i], colour_of(i), c[2]) for i, c in zip(shown, curves, strict=True)]
    named = named[: None if few else 1]
    labels = [f"{short_name(name, 16)}  {_best(curve)}" for name, _, curve in named]
    handles = [key_of(colour) for _, colour, _ in named]
    if not few:
        handles, labels = [*handles, key_of(MUTED, 0.4)], [*labels, f"{len(shown)} classes"]
    add_legend(rows[0], handles, labels, title="highest F1", loc="upper left", bbox_to_anchor=(1.01, 1.02))
    return figure


def mean_curves(curves: NDArray[np.floating]) -> NDArray[np.floating]:
    """Means over the classes, [K, 3, 101] -> [3, 101]; undefined precisions are left out, NaN where all are."""
    defined = np.isfinite(curves)
    total = np.where(defined, curves, 0.0).sum(0)
    count = defined.sum(0)
    mean: NDArray[np.floating] = np.divide(total, count, out=np.full(total.shape, math.nan), where=count > 0)
    return mean


def _best(f1: NDArray[np.floating]) -> str:
    """The highest F1, and the threshold in the middle of those that have it."""
    if not f1.max():
        return "-"
    at = THRESHOLDS[np.flatnonzero(f1.round(12) == f1.max().round(12))].mean()
    return f"{f1.max():.2f} at {at:.2f}"
