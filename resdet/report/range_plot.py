"""The plot of a learning-rate range test: losses over rates, the suggestion and the config's value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resdet.report.plots import INK, MUTED, WIDTH, add_legend, colour_of, label_powers, style

HEADROOM = 1.3  # of the smoothed loss before it rises; what is above, a loss that diverges, is cut off


def range_plot(
    lrs: Sequence[float], losses: Sequence[float], smoothed: NDArray[np.floating], suggestion: float, config: float
) -> Figure:
    """Plot what a range test measured.

    Args:
        lrs: values of `optimizer.lr`, ascending, [n].
        losses: at each of them, [n].
        smoothed: the losses smoothed, [n].
        suggestion: the value that was found.
        config: the value of the config.
    """
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(lrs, losses, color=INK, alpha=0.25, linewidth=0.7)
    axes.plot(lrs, smoothed, color=INK, linewidth=1.8, label="loss, smoothed")
    axes.axvline(suggestion, color=colour_of(0), linewidth=1.4, label=f"found: {suggestion:g}")
    if config > 0:
        axes.axvline(config, color=MUTED, linewidth=1.2, linestyle="--", label=f"config: {config:g}")
    style(axes, "learning-rate range test")
    lowest, start = float(smoothed.min()), float(smoothed[: smoothed.argmin() + 1].max())
    axes.set(xscale="log", xlabel="optimizer.lr", ylabel="loss", ylim=(0.9 * lowest, HEADROOM * start))
    label_powers(axes.xaxis)
    add_legend(axes, fontsize=8, loc="upper left")
    return figure
