"""Plots of classifiers as in the paper: error curves (Figs. 1, 4, 6) and layer responses (Fig. 7).

plot = error_plot({"plain-20": records, "ResNet-20": others})      # records of scalars.json
plot = response_plot({"plain-20": deviations, "ResNet-20": others})
save_plot(plot, "errors.png")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resdet.report.plots import (
    WIDTH,
    add_legend,
    colour_of,
    label_iterations,
    moving_mean,
    series_of,
    short_name,
    style,
)

TRAIN, TEST = "top1_error", "test/top1_error"


def error_plot(runs: Mapping[str, Sequence[Mapping[str, Any]]], title: str = "error (%)") -> Figure:
    """Training error (dashed) and test error (bold) over iterations, one colour per run (Fig. 6).

    Args:
        runs: by name, the records of scalars.json: mappings with "iteration" and "top1_error" or "test/top1_error".
        title: of the plot.
    """
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    for i, (name, records) in enumerate(runs.items()):
        colour = colour_of(i)
        x, y = series_of(records, TRAIN)
        if len(x):
            axes.plot(x, moving_mean(y, max(1, len(y) // 100)), color=colour, linewidth=0.8, linestyle="--")
        x, y = series_of(records, TEST)
        label = f"{short_name(name)}  {y[-1]:.2f}" if len(y) else short_name(name)
        axes.plot(x, y, color=colour, linewidth=1.8, label=label, marker="o" if len(y) == 1 else "")
    axes.set_ylim(bottom=0)
    label_iterations(axes)
    style(axes, title)
    add_legend(axes, loc="upper right")
    return figure


def response_plot(nets: Mapping[str, Mapping[str, float]]) -> Figure:
    """Standard deviations of layer responses, in the layers' order (top) and sorted by size (bottom): Fig. 7.

    Args:
        nets: by name of the net and of the layer, the layers from first to last.
    """
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    for i, (name, deviations) in enumerate(nets.items()):
        values = np.array(list(deviations.values()))
        layers = np.arange(1, len(values) + 1)
        upper.plot(layers, values, color=colour_of(i), linewidth=1.2, label=short_name(name))
        lower.plot(layers, np.sort(values)[::-1], color=colour_of(i), linewidth=1.2)
    for axes, text in ((upper, "layer index (original)"), (lower, "layer index (sorted by magnitude)")):
        axes.set_ylim(bottom=0)
        axes.set_xlabel(text)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        style(axes, "std of the 3x3 layers' responses" if axes is upper else "")
    add_legend(upper, loc="upper right")
    return figure
