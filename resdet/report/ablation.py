"""A plot of Table 9: mAP of every row, at IoU 0.5 and averaged over IoU 0.5:0.05:0.95.

plot = ablation_plot({"baseline": {"mAP50": [.482], "mAP50_95": [.271]}, "+ box refinement": ...})
save_plot(plot, "ablation.svg")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from resdet.report.plots import WIDTH, add_legend, colour_of, style

TITLES = {"mAP50": "mAP@.5", "mAP50_95": "mAP@[.5,.95]"}


def ablation_plot(rows: Mapping[str, Mapping[str, Sequence[float]]], title: str = "mean AP (%)") -> Figure:
    """One bar per row and measure, from top to bottom; with several trainings, lines show the standard deviation.

    Args:
        rows: by name of the row and of the measure (the keys of TITLES): one value in 0..1 per training.
        title: of the plot.
    """
    figure = Figure(figsize=(WIDTH, 0.9 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    ends: list[tuple[float, float]] = []
    drawn = [name for name in TITLES if any(row.get(name) for row in rows.values())]
    place = np.arange(len(rows))
    for i, name in enumerate(drawn):
        values = [100 * np.asarray(row[name]) for row in rows.values()]
        means = [v.mean() for v in values]
        spread = [v.std(ddof=1) if len(v) > 1 else 0.0 for v in values]
        height = 0.8 / len(drawn)
        at = place + (i - (len(drawn) - 1) / 2) * height
        axes.barh(at, means, height, xerr=spread, color=colour_of(i), label=TITLES[name])
        ends += zip(means, spread, strict=True)
        for y, mean, deviation in zip(at, means, spread, strict=True):
            axes.text(mean + deviation + 0.6, y, f"{mean:.1f}", va="center", fontsize=9.5)
    axes.set_yticks(place, list(rows))
    axes.invert_yaxis()
    axes.set_xlim(0, max(5.0, 1.15 * max(mean + deviation for mean, deviation in ends)))
    axes.grid(visible=False, axis="y")
    style(axes, title)
    add_legend(axes, loc="lower right")
    return figure
