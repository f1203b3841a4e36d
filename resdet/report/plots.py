"""Style and files of matplotlib's plots, without pyplot: no global state, no window.

    style(axes, "title")
    save_plot(plot, "pr.png")                   # or .svg, .pdf
    html = plot_svg(plot)                       # inline SVG: selectable text, the page's colours

A plot is 5.4 inches wide: half of the page's width, or all of a phone's, where its smallest text is then 8 pixels high.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogFormatter
from numpy.typing import NDArray

from resdet.errors import UserError
from resdet.report.canvas import class_colour
from resdet.whole_files import write_whole_file

INK, MUTED, GRID, PAPER = "#1f2933", "#667382", "#dfe3e8", "#fefefe"
PAGE_COLOURS = {INK: "--ink", MUTED: "--muted", GRID: "--line", PAPER: "--card"}  # the page's CSS variables
WIDTH = 5.4  # inches
LEGEND_SIZE = 9.5  # points
LEGEND: dict[str, Any] = {
    "frameon": False, "handlelength": 1.2, "handletextpad": 0.5, "labelspacing": 0.25, "borderaxespad": 0.3,
    "alignment": "left", "fontsize": LEGEND_SIZE,
}  # fmt: skip

RENDERING: dict[str, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "resdet",
    "figure.autolayout": False, "figure.constrained_layout.use": False,  # a user's settings would lay out again
}  # fmt: skip

Series = tuple[NDArray[np.floating], NDArray[np.floating]]  # iterations [n] and values [n]


def series_of(records: Sequence[Mapping[str, Any]], key: str) -> Series:
    """The finite values of `key` over iterations, from the records of scalars.json."""
    points = [(float(r["iteration"]), float(r[key])) for r in records if key in r and "iteration" in r]
    table = np.array([p for p in points if math.isfinite(p[1])]).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def moving_mean(y: NDArray[np.floating], window: int) -> NDArray[np.floating]:
    """Centred moving average over about `window` values, over fewer near both ends: [n] -> [n]."""
    total = np.concatenate([[0.0], np.cumsum(y)])
    at = np.arange(len(y))
    first, end = np.maximum(at - window // 2, 0), np.minimum(at + window // 2 + 1, len(y))
    mean: NDArray[np.floating] = (total[end] - total[first]) / (end - first)
    return mean


# ---------------------------------------------------------------------------------------------- files


def plot_svg(figure: Figure, label: str = "plot") -> str:
    """The plot as an `<svg>` element for HTML.

    It has no width (the page sets it), and its text is text. Neutral colours become the CSS variables of
    `PAGE_COLOURS`, with the light theme's as fallback. It refers to no URL.

    Args:
        figure: the plot.
        label: what screen readers call it.
    """
    svg = _render(figure, "svg").decode()
    svg = svg[svg.index("<svg") :]
    head, body = svg.split(">", 1)
    view_box = re.search(r'viewBox="[^"]*"', head)
    head = f'<svg {view_box.group() if view_box else ""} role="img" aria-label="{escape(label)}"'
    for colour, variable in PAGE_COLOURS.items():
        body = body.replace(colour, f"var({variable}, {colour})")
    return f"{head}>{body}".strip()


def save_plot(figure: Figure, path: str | Path) -> None:
    """Write a plot; the suffix says the type: .png (200 dpi), .svg or .pdf.

    Raises:
        UserError: matplotlib cannot write this type, or the folder cannot be written.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in figure.canvas.get_supported_filetypes():
        raise UserError(f"{path}: '{kind}' is not a type of plot that can be written: use .png, .svg or .pdf")
    write_whole_file(path, _render(figure, kind))


def _render(figure: Figure, kind: str) -> bytes:
    target = io.BytesIO()
    # no date and no random ids, so that the same plot gives the same bytes
    metadata = {"svg": dict.fromkeys(("Creator", "Date", "Format", "Type")), "pdf": {"CreationDate": None}}.get(kind)
    with mpl.rc_context(RENDERING), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # class names in any script; a browser has the glyphs
        _settle_layout(figure)
        figure.savefig(target, format=kind, dpi=200, metadata=metadata, transparent=kind == "svg")
    return target.getvalue()


def _settle_layout(figure: Figure) -> None:
    """Lay the axes out once, on rounded positions: the solver's last digits differ from call to call.

    A figure without a layout engine is drawn once when it is saved, one with an engine twice.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine(None)
    for axes in figure.axes:
        left, bottom, width, height = (round(float(v), 6) for v in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))


# ---------------------------------------------------------------------------------------------- style


def style(axes: Any, title: str) -> None:
    """Light grid, no frame, small grey tick labels, title on the left."""
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=MUTED, labelsize=10, length=0, pad=5)
    for side in axes.spines.values():
        side.set_visible(False)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=MUTED, fontsize=10.5)
    axes.set_title(title, loc="left", color=INK, fontsize=12, parse_math=False)


def add_legend(axes: Any, *entries: Any, **options: Any) -> None:
    """Add a legend in the plot's style and colours; a "$" in a name does not start math.

    Args:
        axes: of matplotlib.
        entries: handles and labels; none: those of the plots.
        options: of `Axes.legend`.
    """
    legend = axes.legend(*entries, **(LEGEND | options))
    for text in legend.get_texts():
        text.set(color=INK, parse_math=False)
    legend.get_title().set(color=MUTED, fontsize=LEGEND_SIZE)


def key_of(colour: str, alpha: float = 1.0) -> Line2D:
    """A line for a legend."""
    return Line2D([], [], color=colour, alpha=alpha, linewidth=2)


def colour_of(index: int) -> str:
    """The colour of class `index`, as in pictures, in hexadecimal: "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*class_colour(index))


def short_name(name: str, most: int = 22) -> str:
    """A name of at most `most` characters, shortened at its end."""
    return name if len(name) <= most else name[: most - 1] + "…"


def label_iterations(axes: Any) -> None:
    """Label the x axis as training iterations, in thousands where there are many."""
    axes.set_xlabel("iteration")
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))


def _thousands(value: float, _: object) -> str:
    """Tick label: 40000 -> "40k"."""
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


class _Decimals(LogFormatter):
    """Labels the same ticks as matplotlib's default, as 0.001 instead of 10^-3: mathtext is slow."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return np.format_float_positional(x, trim="-") if super().__call__(x, pos) else ""


def label_powers(axis: Any) -> None:
    """Label a logarithmic axis in decimals."""
    axis.set_major_formatter(_Decimals())
    axis.set_minor_formatter(_Decimals())


def empty_plot(title: str, message: str) -> Figure:
    """An empty plot that shows a message."""
    figure = Figure(figsize=(WIDTH, 1.6), layout="constrained")
    axes = figure.add_subplot()
    style(axes, title)
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, message, ha="center", va="center", color=MUTED, fontsize=11, transform=axes.transAxes)
    return figure
