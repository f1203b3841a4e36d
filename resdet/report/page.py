"""The page of a run: one self-contained HTML file without scripts.

    page = RunPage("voc07_r101", "ResNet-101, VOC 2007 test", command="resdet eval-voc configs/voc07_r101.py ...")
    page.figures.append(("mAP@.5", "76.4 %", "paper: 76.4"))
    page.curves.append(("Precision and recall", figure))
    write_page("runs/voc07_r101/report.html", page)

Sections without content are left out. All text is escaped; only the SVG of `curves` is inserted unescaped. The page's
content security policy forbids scripts and connections, even if a class name contains HTML.
"""

from __future__ import annotations

import base64
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from resdet.report.canvas import Colour, Image
from resdet.report.image_files import encode_image
from resdet.report.page_template import CSS, TEMPLATE
from resdet.report.plots import plot_svg
from resdet.report.sheets import shrink
from resdet.report.tables import format_ap, format_count
from resdet.whole_files import write_whole_file

PICTURE_WIDTH = 900  # pixels; with JPEG quality 85 a dozen pictures stay near two megabytes
SMALL_WIDTH = 480  # pixels, of the pictures of a gallery of small ones
JPEG_QUALITY = 85
MOST_CLASSES = 60  # rows of `class_table`
MOST_IN_MATRIX = 24  # classes of a confusion matrix that is shown whole
MOST_CONFUSIONS = 30  # rows of the table that replaces it
ROWS_PER_PART = 10  # the table of classes is split into up to three parts side by side
logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class BarTable:
    """A bar per row, as of classes; without rows there is no table.

    Args:
        rows: name, share (0..1, or NaN) and count of each row.
        title: above the table.
        note: beside the title.
        named: what the rows are.
        measure: name of the share, which is shown in percent.
        counted: name of the count.
        longest: share of a full bar, above 0.
        colours: of the bars, RGB; none: all have the page's.
    """

    rows: list[tuple[str, float, int]] = field(default_factory=list)
    title: str = "AP per class"
    note: str = "in percent"
    named: str = "class"
    measure: str = "AP"
    counted: str = "objects"
    longest: float = 1.0
    colours: Sequence[Colour] = ()


@dataclass(frozen=True)
class NumberTable:
    """A table of text; the first column is on the left, the others are on the right.

    Args:
        title: above the table.
        columns: their names.
        rows: a cell per column.
        note: beside the title.
        words: leading columns that are words, not numbers.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: int = 1


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts by true and detected class, shaded by their share of the row.

    Args:
        names: of the rows and columns, [K].
        counts: int [K, K], rows: true class, columns: detected class.
        note: beside the title.
    """

    names: Sequence[str]
    counts: np.ndarray
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures with captions.

    Args:
        title: above them.
        pictures: caption, and uint8 [H, W, 3] RGB.
        note: beside the title.
        small: up to six in a row instead of two.
    """

    title: str
    pictures: Sequence[tuple[str, Image]]
    note: str = ""
    small: bool = False


@dataclass
class RunPage:
    """The contents of a run's page, from top to bottom.

    Args:
        title: name of the run.
        subtitle: below the title.
        command: the command line of the run.
        figures: tiles at the top: name, value as it is shown, note.
        bars: tables of bars.
        tables: tables of numbers.
        confusion: the confusion matrix, or the table that `confusion_part` makes of many classes.
        curves: title and plot; the title is shown above the plot, which needs none of its own.
        galleries: of pictures.
        config_text: folded on the page.
        environment: device and versions by name.
    """

    title: str
    subtitle: str = ""
    command: str = ""
    figures: list[tuple[str, str, str]] = field(default_factory=list)
    bars: list[BarTable] = field(default_factory=list)
    tables: list[NumberTable] = field(default_factory=list)
    confusion: ConfusionMatrix | NumberTable | None = None
    curves: list[tuple[str, Figure]] = field(default_factory=list)
    galleries: list[Gallery] = field(default_factory=list)
    config_text: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def write_page(path: str | Path, run: RunPage) -> Path:
    """Write the page atomically and log its path.

    Returns:
        The path.

    Raises:
        UserError: the folder cannot be written.
    """
    path = Path(path)
    write_whole_file(path, render_page(run).encode())
    logger.info("page: %s", path)
    return path


def class_table(
    names: Sequence[str],
    shares: np.ndarray,
    counts: np.ndarray,
    title: str,
    measure: str,
    counted: str,
    most: int | None = MOST_CLASSES,
) -> BarTable:
    """A row per class in the order of the classes; of more than `most` only the worst ones, the worst first.

    Args:
        names: [K].
        shares: [K], 0..1 or NaN.
        counts: int [K].
        title: above the table; the number of classes is beside it.
        measure: name of the share.
        counted: name of the count.
        most: rows; None: all classes.
    """
    order, note = np.arange(len(names)), f"{_classes(len(names))}, in percent"
    if most is not None and len(names) > most:
        order = np.argsort(shares, kind="stable")[:most]
        note = f"the {most} worst of {len(names)} classes, in percent"
    rows = [(names[i], float(shares[i]), int(counts[i])) for i in order.tolist()]
    return BarTable(rows, title, note, "class", measure, counted)


def confusion_part(
    names: Sequence[str], counts: np.ndarray, note: str, background: bool = False
) -> ConfusionMatrix | NumberTable:
    """The confusion matrix of up to MOST_IN_MATRIX classes; of more a table of the most frequent confusions of two.

    Args:
        names: [K].
        counts: int [K, K], rows: true class, columns: detected class.
        note: beside the title.
        background: whether the last of `names` is the background, which is no class; the table leaves it out.
    """
    classes = len(names) - background
    if classes <= MOST_IN_MATRIX:
        return ConfusionMatrix(names, counts, f"{note}; shaded by the share of the row")
    names, counts = names[:classes], counts[:classes, :classes]
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
    pairs = [divmod(int(i), len(names)) for i in order if wrong.flat[i]]
    rows = [[names[true], names[found], format_count(wrong[true, found])] for true, found in pairs]
    return NumberTable("Most frequent confusions", ["true class", "detected as", "number"], rows, note, words=2)


def render_page(run: RunPage) -> str:
    """The page as HTML."""
    matrix = run.confusion if isinstance(run.confusion, ConfusionMatrix) else None
    return TEMPLATE.render(
        run=run,
        css=CSS,
        columns=_tile_columns(len(run.figures)),
        bars=[(table, _bar_parts(table)) for table in run.bars],
        tables=[*run.tables, *([run.confusion] if isinstance(run.confusion, NumberTable) else [])],
        matrix=_matrix_rows(matrix) if matrix else [],
        curves=[(title, plot_svg(figure, title)) for title, figure in run.curves],
        galleries=[(gallery, [(caption, *_jpeg(image, gallery.small)) for caption, image in gallery.pictures])
                   for gallery in run.galleries],
    )  # fmt: skip


def _bar_parts(table: BarTable) -> list[list[dict[str, str]]]:
    """The rows as text, split into one to three parts of about equal length."""
    parts = min(3, math.ceil(len(table.rows) / ROWS_PER_PART))
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in table.colours] or ["var(--accent)"] * len(table.rows)
    shown = [
        {"name": name, "share": format_ap(share), "width": _percent(share / table.longest),
         "count": format_count(count), "colour": colour}
        for (name, share, count), colour in zip(table.rows, colours, strict=True)
    ]  # fmt: skip
    length = math.ceil(len(shown) / parts) if parts else 1
    return [shown[i : i + length] for i in range(0, len(shown), length)]


def _matrix_rows(matrix: ConfusionMatrix) -> list[tuple[str, list[dict[str, str]]]]:
    """Name of each row, and its cells: count, share of the row in percent, and whether it is right."""
    totals = np.maximum(matrix.counts.sum(1), 1)
    return [
        (name, [
            {"count": format_count(count) if count else "", "share": f"{100 * count / totals[i]:.0f}",
             "kind": "right" if i == j else "wrong"}
            for j, count in enumerate(matrix.counts[i].tolist())
        ])
        for i, name in enumerate(matrix.names)
    ]  # fmt: skip


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"


def _tile_columns(count: int) -> int:
    """Tiles per row: at most six, with rows of about equal length (7 or 8 tiles are two rows of four)."""
    return math.ceil(count / math.ceil(count / 6)) if count else 1


def _percent(share: float) -> str:
    """The width of a bar in percent; 0 for an undefined share."""
    return "0" if math.isnan(share) else f"{100 * min(max(share, 0.0), 1.0):.1f}"


def _jpeg(image: Image, small: bool) -> tuple[str, int, int]:
    """Data URI, width and height of a picture."""
    shrunk = shrink(image, SMALL_WIDTH if small else PICTURE_WIDTH)
    data = base64.b64encode(encode_image(shrunk, ".jpg", JPEG_QUALITY)).decode()
    return f"data:image/jpeg;base64,{data}", shrunk.shape[1], shrunk.shape[0]
