"""The page of a run: one self-contained HTML file without scripts.

    page = RunPage("voc07_r101", "ResNet-101, VOC 2007 test", command="resdet eval-voc configs/voc07_r101.py ...")
    page.figures.append(("mAP@.5", "76.4", "paper: 76.4"))
    page.curves.append(("Precision and recall", plot_svg(figure)))
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

from resdet.report.canvas import Image
from resdet.report.image_files import encode_image
from resdet.report.page_template import CSS, TEMPLATE
from resdet.report.sheets import shrink
from resdet.report.tables import format_ap, format_count
from resdet.whole_files import write_whole_file

PICTURE_WIDTH = 900  # pixels; with JPEG quality 85 a dozen pictures stay near two megabytes
JPEG_QUALITY = 85
MOST_CLASSES = 60  # rows of `class_table`
ROWS_PER_PART = 10  # the table of classes is split into up to three parts side by side
logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class ClassTable:
    """A bar per class; without rows there is no table.

    Args:
        rows: name, share (0..1, or NaN) and count of each class.
        title: above the table.
        measure: name of the share, which is shown in percent.
        counted: name of the count.
    """

    rows: list[tuple[str, float, int]] = field(default_factory=list)
    title: str = "AP per class"
    measure: str = "AP"
    counted: str = "objects"


@dataclass
class RunPage:
    """The contents of a run's page, from top to bottom.

    Args:
        title: name of the run.
        subtitle: below the title.
        command: the command line of the run.
        figures: tiles at the top: name, value as it is shown, note.
        warnings: shown below the tiles.
        per_class: the table of classes.
        curves: title and `<svg>` (`plots.plot_svg`).
        pictures: caption, and uint8 [H, W, 3] RGB.
        config_text: folded on the page.
        environment: device and versions by name.
    """

    title: str
    subtitle: str = ""
    command: str = ""
    figures: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    per_class: ClassTable = field(default_factory=ClassTable)
    curves: list[tuple[str, str]] = field(default_factory=list)
    pictures: list[tuple[str, Image]] = field(default_factory=list)
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
    names: Sequence[str], shares: np.ndarray, counts: np.ndarray, title: str, measure: str, counted: str
) -> ClassTable:
    """A row per class in the order of the classes; of more than MOST_CLASSES only the worst ones, the worst first.

    Args:
        names: [K].
        shares: [K], 0..1 or NaN.
        counts: int [K].
        title: above the table; the number of classes is added.
        measure: name of the share.
        counted: name of the count.
    """
    order, title = np.arange(len(names)), f"{title}, number of classes: {len(names)}"
    if len(names) > MOST_CLASSES:
        order = np.argsort(shares, kind="stable")[:MOST_CLASSES]
        title = f"The {MOST_CLASSES} worst of {len(names)} classes"
    return ClassTable([(names[i], float(shares[i]), int(counts[i])) for i in order.tolist()], title, measure, counted)


def render_page(run: RunPage) -> str:
    """The page as HTML."""
    return TEMPLATE.render(
        run=run,
        css=CSS,
        columns=_tile_columns(len(run.figures)),
        class_tables=_class_tables(run.per_class.rows),
        pictures=[(caption, *_jpeg(image)) for caption, image in run.pictures],
    )


def _class_tables(rows: Sequence[tuple[str, float, int]]) -> list[list[dict[str, str]]]:
    """The rows as text, split into one to three parts of about equal length."""
    parts = min(3, math.ceil(len(rows) / ROWS_PER_PART))
    shown = [
        {"name": name, "ap": format_ap(ap), "width": _percent(ap), "objects": format_count(objects)}
        for name, ap, objects in rows
    ]
    length = math.ceil(len(rows) / parts) if parts else 1
    return [shown[i : i + length] for i in range(0, len(shown), length)]


def _tile_columns(count: int) -> int:
    """Tiles per row: at most six, with rows of about equal length (7 or 8 tiles are two rows of four)."""
    return math.ceil(count / math.ceil(count / 6)) if count else 1


def _percent(ap: float) -> str:
    """The width of a bar in percent; 0 for an undefined AP."""
    return "0" if math.isnan(ap) else f"{100 * min(max(ap, 0.0), 1.0):.1f}"


def _jpeg(image: Image) -> tuple[str, int, int]:
    """Data URI, width and height of a picture."""
    small = shrink(image, PICTURE_WIDTH)
    data = base64.b64encode(encode_image(small, ".jpg", JPEG_QUALITY)).decode()
    return f"data:image/jpeg;base64,{data}", small.shape[1], small.shape[0]
