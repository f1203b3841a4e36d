"""The box around the outline of a COCO object, for files that have polygons or run-length codes alone.

enclosing_box([[10, 10, 50, 10, 50, 40]])                             # [10.0, 10.0, 40.0, 30.0]
enclosing_box({"size": [4, 5], "counts": [5, 2, 2, 2, 9]})            # pixels of columns 1 and 2, rows 1 and 2
"""

from __future__ import annotations

from typing import Any

import numpy as np

_MOST_PIXELS = 2**40  # of a mask; keeps the sums of its runs within int64


def enclosing_box(outline: Any) -> list[float] | None:
    """The box (x, y, width, height) around polygons or a run-length code.

    Args:
        outline: a record's `segmentation`: a list of polygons [x1, y1, x2, y2, ...] or [[x1, y1], [x2, y2], ...], one
            polygon, or an object with `size` (height, width) and `counts`, a list of run lengths or the text in which
            pycocotools packs them.

    Returns:
        The box; None where there is no such outline, or it has no points.
    """
    if isinstance(outline, dict):
        return _box_of_runs(outline.get("size"), outline.get("counts"))
    if not isinstance(outline, list) or not outline:
        return None
    polygons = outline if isinstance(outline[0], list) else [outline]
    numbers: list[Any] = []
    for polygon in polygons:
        if not isinstance(polygon, list):
            return None
        if polygon and all(isinstance(point, list) and len(point) == 2 for point in polygon):
            polygon = [number for point in polygon for number in point]
        if len(polygon) % 2:
            return None
        numbers += polygon
    try:
        points = np.array([float(v) for v in numbers if not isinstance(v, bool)]).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        return None
    if not len(points) or not np.isfinite(points).all():
        return None
    low, high = points.min(0), points.max(0)
    return [*low.tolist(), *(high - low).tolist()]


def _box_of_runs(size: Any, counts: Any) -> list[float] | None:
    """Runs of background and object take turns, down the columns one after another."""
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        return None
    height, width = size
    runs = _unpack(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        return None
    if sum(runs) != height * width or height * width > _MOST_PIXELS:
        return None
    ends = np.cumsum(np.array(runs, np.int64))
    starts, last = ends[:-1:2], ends[1::2] - 1  # first and last pixel of each run of the object
    starts, last = starts[last >= starts], last[last >= starts]
    if not len(starts):
        return None
    left, right = int(starts.min()) // height, int(last.max()) // height
    top, bottom = int((starts % height).min()), int((last % height).max())
    if (starts // height != last // height).any():  # a run that goes on in the next column touches both borders
        top, bottom = 0, height - 1
    return [float(left), float(top), float(right - left + 1), float(bottom - top + 1)]


def _unpack(text: str) -> list[int] | None:
    """Run lengths of pycocotools' text: five bits a character; from the third run on the difference to two runs ago."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs if not shift else None
