"""Table 9 as a picture: mean AP of every row, at an IoU of .5 and over .5:.95.

figure = ablation_figure({"baseline": {"mAP50": [.482], "mAP50_95": [.271]}, "+ box refinement": ...})
save_figure(figure, "ablation.svg")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from resdet.report.figures import LEGEND, WIDTH, colour_of, style, style_legend

TITLES = {"mAP50": "mAP@.5", "mAP50_95": "mAP@[.5,.95]"}


def ablation_figure(rows: Mapping[str, Mapping[str, Sequence[float]]], title: str = "mean AP (%)") -> Figure:
    """Bars a row, from the top down; lines are a standard deviation over the trainings, where there are several.

    rows: by name, of each figure of TITLES a value for each training, in 0..1.
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
            axes.text(mean + deviation + 0.6, y, f"{mean:.1f}", va="center", fontsize=8)
    axes.set_yticks(place, list(rows))
    axes.invert_yaxis()
    axes.set_xlim(0, max(5.0, 1.15 * max(mean + deviation for mean, deviation in ends)))
    axes.grid(visible=False, axis="y")
    style(axes, title)
    style_legend(axes.legend(loc="lower right", fontsize=8, **LEGEND))
    return figure
