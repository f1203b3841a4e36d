"""How figures look and how they are written: matplotlib without pyplot (no global state, no window).

    style(axes, "title")
    save_figure(figure, "pr.png")                 # or .svg, .pdf
    html = figure_svg(figure)                     # to inline: small, selectable text, follows the page's colours

A figure is 5.8 inches wide: it fits half of a wide page and all of a telephone at about its own size.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from resdet.errors import UserError
from resdet.report.drawing import class_colour, write_whole

INK, MUTED, GRID, PAPER = "#1f2933", "#667382", "#dfe3e8", "#fefefe"
PAGE_COLOURS = {INK: "--ink", MUTED: "--muted", GRID: "--line", PAPER: "--card"}  # the page's CSS variables
WIDTH = 5.8  # inches
LEGEND: dict[str, Any] = {
    "frameon": False, "handlelength": 1.2, "handletextpad": 0.5, "labelspacing": 0.25, "borderaxespad": 0.3,
    "alignment": "left",
}  # fmt: skip

Series = tuple[NDArray[np.floating], NDArray[np.floating]]  # iterations [n] and values [n]


def series_of(records: Sequence[Mapping[str, Any]], key: str) -> Series:
    """The finite values of `key` over iterations."""
    points = [(float(r["iteration"]), float(r[key])) for r in records if key in r and "iteration" in r]
    table = np.array([p for p in points if math.isfinite(p[1])]).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def moving_mean(y: NDArray, window: int) -> NDArray:
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


def style(axes: Any, title: str) -> None:
    """Light grid, no box, small grey ticks, the title to the left."""
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=MUTED, labelsize=8, length=0, pad=5)
    for side in axes.spines.values():
        side.set_visible(False)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=MUTED, fontsize=8.5)
    axes.set_title(title, loc="left", color=INK, fontsize=10, parse_math=False)


def style_legend(legend: Any) -> None:
    """Legend text in the figure's colours; names are never read as TeX ('$')."""
    for text in legend.get_texts():
        text.set(color=INK, parse_math=False)
    legend.get_title().set(color=MUTED, fontsize=7.5)


def key_of(colour: str, alpha: float = 1.0) -> Line2D:
    """A short line for a legend."""
    return Line2D([], [], color=colour, alpha=alpha, linewidth=2)


def colour_of(index: int) -> str:
    """The colour of class `index` in the pictures, as matplotlib writes colours."""
    return "#{:02x}{:02x}{:02x}".format(*class_colour(index))


def short_name(name: str, most: int = 22) -> str:
    """The beginning of a long name."""
    return name if len(name) <= most else name[: most - 1] + "…"


def thousands(value: float, _: object) -> str:
    """40000 -> '40k'."""
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def empty_figure(title: str, message: str) -> Figure:
    """A figure that says why it shows nothing."""
    figure = Figure(figsize=(WIDTH, 1.6), layout="constrained")
    axes = figure.add_subplot()
    style(axes, title)
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, message, ha="center", va="center", color=MUTED, fontsize=9, transform=axes.transAxes)
    return figure
