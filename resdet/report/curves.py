"""Precision-recall curves and training curves, as matplotlib figures without pyplot (no global state, no window).

    figure = precision_recall_figure(results, classes, "VOC 2007 test")
    save_figure(figure, "pr.png")                 # or .svg, .pdf
    html = figure_svg(figure)                     # to inline: small, selectable text, follows the page's colours

A figure is 5.8 inches wide: it fits half of a wide page and all of a telephone at about its own size.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from resdet.errors import UserError
from resdet.report.drawing import class_colour, write_whole
from resdet.report.tables import format_ap

INK, MUTED, GRID, PAPER = "#1f2933", "#667382", "#dfe3e8", "#fefefe"
PAGE_COLOURS = {INK: "--ink", MUTED: "--muted", GRID: "--line", PAPER: "--card"}  # the page's CSS variables
MOST_LABELLED = 20  # more classes than this, and only the best and worst ones are named
EXTREMES = 5  # ... this many at either end
MOST_METRICS = 6
MOST_POINTS = 800  # drawn of a training curve; means are taken over all
WIDTH = 5.8  # inches

Series = tuple[NDArray[np.floating], NDArray[np.floating]]  # iterations [n] and values [n]


class ClassResult(Protocol):
    """What is drawn of one class: recall and precision [n] by falling score, and the average precision (or NaN)."""

    @property
    def recall(self) -> NDArray[np.floating]: ...  # noqa: D102
    @property
    def precision(self) -> NDArray[np.floating]: ...  # noqa: D102
    @property
    def ap(self) -> float: ...  # noqa: D102


# ---------------------------------------------------------------------------------------------- precision and recall


def precision_recall_figure(results: Sequence[ClassResult], classes: Sequence[str], title: str) -> Figure:
    """One interpolated curve a class, legend by falling AP.

    Drawn is the precision that AP is computed from: at each recall the highest precision at this recall or beyond
    (VOC devkit, `VOCevaldet.m`). With more than `MOST_LABELLED` classes only the `EXTREMES` best and worst are
    coloured and named, the others are a grey bundle. Classes with an undefined AP have no curve; the legend says so.
    """
    if len(results) != len(classes):
        raise ValueError(f"{len(results)} results but {len(classes)} classes")
    defined = [i for i in range(len(results)) if math.isfinite(results[i].ap)]
    if not defined:
        return _empty_figure(title, "no class has a defined AP")
    ranked = sorted(defined, key=lambda i: -results[i].ap)
    crowded = len(ranked) > MOST_LABELLED
    named = ranked[:EXTREMES] + ranked[-EXTREMES:] if crowded else ranked

    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for i in ranked:
        if i not in named:
            axes.plot(*_interpolated(results[i]), color=MUTED, alpha=0.25, linewidth=0.7, drawstyle="steps-pre")
    for i in reversed(named):  # the best last, on top
        axes.plot(*_interpolated(results[i]), color=_colour(i), linewidth=1.6, drawstyle="steps-pre")
    _style(axes, title)
    axes.set(xlim=(0, 1.005), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    handles = [_key(_colour(i)) for i in named]
    labels = [f"{format_ap(results[i].ap)}  {_short(classes[i])}" for i in named]
    if crowded:
        handles.insert(EXTREMES, _key(MUTED, alpha=0.4))
        labels.insert(EXTREMES, f"{len(ranked) - len(named)} more")
    if len(defined) < len(results):
        handles.append(_key("none"))
        labels.append(f"{len(results) - len(defined)} undefined")
    legend = axes.legend(
        handles, labels, title="AP  class", loc="upper left", bbox_to_anchor=(1.01, 1.02), **_LEGEND, fontsize=7.5
    )
    _style_legend(legend)
    return figure


def _interpolated(result: ClassResult) -> tuple[NDArray, NDArray]:
    """The curve's corners, thinned to a grid of 1/400: a million detections and a thousand draw the same."""
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


def training_figure(records: Sequence[Mapping[str, Any]], title: str = "training") -> Figure:
    """Losses, validation figures and learning rate over iterations, one panel each; panels without data are left out.

    Args:
        records: one mapping a logged step with 'iteration' and any of 'loss', 'loss_...', 'lr' and 'val/...'.
            Values that are not finite are left out; other keys are ignored.
        title: above the first panel.

    The loss is drawn faint as logged and in full as a centred moving mean over a 25th of the run.
    """
    losses = {k: s for k in _keys(records, "loss") if len((s := _series(records, k))[0])}
    metrics = {k: s for k in _keys(records, "val/")[:MOST_METRICS] if len((s := _series(records, k))[0])}
    rate = _series(records, "lr")
    panels: list[tuple[float, Callable[[Any, Mapping[str, Series]], None], Mapping[str, Series]]]
    panels = [(2.5, _draw_losses, losses)] if losses else []
    panels += [(1.5, _draw_metrics, metrics)] if metrics else []
    panels += [(0.9, _draw_rate, {"lr": rate})] if len(rate[0]) else []
    if not panels:
        return _empty_figure(title, "nothing has been logged yet")

    heights = [height for height, _, _ in panels]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.6), layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for i, (axes, (_, draw, series)) in enumerate(zip(rows, panels, strict=True)):
        draw(axes, series)
        _style(axes, title if i == 0 else "")
    rows[-1].set_xlabel("iteration")
    rows[-1].xaxis.set_major_formatter(FuncFormatter(_thousands))
    rows[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def _draw_losses(axes: Any, losses: Mapping[str, Series]) -> None:
    peaks = []
    ordered = sorted(losses, key=lambda k: k != "loss")  # the total first
    colours = {k: INK if k == "loss" else _colour(i) for i, k in enumerate(ordered)}
    for key in reversed(ordered):
        x, y = losses[key]
        smooth = _moving_mean(y, window=max(1, len(y) // 25))
        step = max(1, len(y) // MOST_POINTS)
        axes.plot(x[::step], y[::step], color=colours[key], alpha=0.22, linewidth=0.6)
        axes.plot(x[::step], smooth[::step], color=colours[key], linewidth=1.8 if key == "loss" else 1.3)
        peaks.append(max(float(np.quantile(y, 0.995)), float(smooth.max())))
    low = min(float(y.min()) for _, y in losses.values())
    axes.set_ylim(min(0.0, 1.05 * low), (1.06 * max(peaks)) or 1.0)  # one exploding step does not flatten the rest
    axes.set_ylabel("loss")
    if len(ordered) > 1 or ordered != ["loss"]:
        names = ["total" if k == "loss" else _short(k.removeprefix("loss_")) for k in ordered]
        _style_legend(axes.legend([_key(colours[k]) for k in ordered], names, loc="upper right", **_LEGEND, fontsize=8))


def _draw_metrics(axes: Any, metrics: Mapping[str, Series]) -> None:
    for i, (x, y) in enumerate(metrics.values()):
        axes.plot(x, y, color=_colour(i), linewidth=1.5, marker="o", markersize=3.2)
    names = [f"{_short(key.removeprefix('val/'))}  {y[-1]:.3g}" for key, (_, y) in metrics.items()]
    handles = [_key(_colour(i)) for i in range(len(metrics))]
    axes.set_ylabel("validation")
    axes.margins(y=0.12)
    legend = axes.legend(handles, names, loc="lower right", title="last value", **_LEGEND, fontsize=8)
    _style_legend(legend)


def _draw_rate(axes: Any, series: Mapping[str, Series]) -> None:
    x, y = series["lr"]
    step = max(1, len(y) // MOST_POINTS)
    axes.plot(x[::step], y[::step], color=INK, linewidth=1.4)
    axes.set_ylabel("learning rate")
    if y.min() > 0 and y.max() > 5 * y.min():
        axes.set_yscale("log")


def _keys(records: Sequence[Mapping[str, Any]], prefix: str) -> list[str]:
    """Every key with this prefix, in the order of its first appearance."""
    return list(dict.fromkeys(key for record in records for key in record if key.startswith(prefix)))


def _series(records: Sequence[Mapping[str, Any]], key: str) -> Series:
    """The finite values of `key` over iterations."""
    points = [(float(r["iteration"]), float(r[key])) for r in records if key in r and "iteration" in r]
    table = np.array([p for p in points if math.isfinite(p[1])]).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _moving_mean(y: NDArray, window: int) -> NDArray:
    """The mean of each value and its neighbours within half a window, of those that there are near the ends."""
    total = np.concatenate([[0.0], np.cumsum(y)])
    at = np.arange(len(y))
    first, end = np.maximum(at - window // 2, 0), np.minimum(at + window // 2 + 1, len(y))
    return (total[end] - total[first]) / (end - first)


# ---------------------------------------------------------------------------------------------- out of memory


def figure_svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element to inline in HTML.

    It has no width of its own (the page sets it), its text is text, its neutral colours are the CSS variables of
    `PAGE_COLOURS` with the light ones as fall-back, and it names no address.
    """
    svg = _render(figure, "svg").decode()
    svg = svg[svg.index("<svg") :]
    head, body = svg.split(">", 1)
    view_box = re.search(r'viewBox="[^"]*"', head)
    head = f'<svg {view_box.group() if view_box else ""} role="img" preserveAspectRatio="xMidYMid meet"'
    for colour, variable in PAGE_COLOURS.items():
        body = body.replace(colour, f"var({variable}, {colour})")
    return f"{head}>{body}".strip()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure; the type follows the suffix (.png at 200 dpi, .svg, .pdf).

    Raises:
        UserError: matplotlib writes no such type, or the folder cannot be written.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in figure.canvas.get_supported_filetypes():
        raise UserError(f"{path}: '{kind}' is no figure type that can be written: name the file .png, .svg or .pdf")
    write_whole(path, _render(figure, kind))


def _render(figure: Figure, kind: str) -> bytes:
    target = io.BytesIO()
    # the same figure gives the same bytes: no date, no random ids
    metadata = {"svg": dict.fromkeys(("Creator", "Date", "Format", "Type")), "pdf": {"CreationDate": None}}.get(kind)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "resdet"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # class names in any script; a browser has the glyphs
        figure.savefig(target, format=kind, dpi=200, metadata=metadata, transparent=kind == "svg")
    return target.getvalue()


# ---------------------------------------------------------------------------------------------- style

_LEGEND: dict[str, Any] = {
    "frameon": False, "handlelength": 1.2, "handletextpad": 0.5, "labelspacing": 0.25, "borderaxespad": 0.3,
    "alignment": "left",
}  # fmt: skip


def _style(axes: Any, title: str) -> None:
    """Light grid, no box, small grey ticks, the title to the left."""
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=MUTED, labelsize=8, length=0, pad=5)
    for side in axes.spines.values():
        side.set_visible(False)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=MUTED, fontsize=8.5)
    axes.set_title(title, loc="left", color=INK, fontsize=10, parse_math=False)


def _style_legend(legend: Any) -> None:
    """Legend text in the figure's colours; names are never read as TeX ('$')."""
    for text in legend.get_texts():
        text.set(color=INK, parse_math=False)
    legend.get_title().set(color=MUTED, fontsize=7.5)


def _key(colour: str, alpha: float = 1.0) -> Line2D:
    return Line2D([], [], color=colour, alpha=alpha, linewidth=2)


def _colour(index: int) -> str:
    """The colour of class `index` in the pictures, as matplotlib writes colours."""
    return "#{:02x}{:02x}{:02x}".format(*class_colour(index))


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _thousands(value: float, _: object) -> str:
    """40000 -> '40k'."""
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def _empty_figure(title: str, message: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 1.6), layout="constrained")
    axes = figure.add_subplot()
    _style(axes, title)
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, message, ha="center", va="center", color=MUTED, fontsize=9, transform=axes.transAxes)
    return figure
