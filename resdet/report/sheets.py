"""Several pictures in one: titled, side by side, or in a grid.

    save_image("pair.png", side_by_side(draw_truth(...), draw_detections(...)))

Images are uint8 [H, W, 3] in RGB. Every function returns a new array.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from resdet.report.canvas import FONT, INK, PAPER, Image, font_of, resize, shorten


def side_by_side(
    left: Image, right: Image, titles: tuple[str, str] | None = ("ground truth", "detections"), gap: int | None = None
) -> Image:
    """Two pictures on white, the right one resized to the height of the left one.

    Args:
        left: uint8 [H, W, 3], RGB.
        right: uint8 [H', W', 3], RGB.
        titles: above them; None: no titles.
        gap: space between them in pixels; None: 1/50 of the height.
    """
    height = left.shape[0]
    right = resize(right, height, max(1, round(right.shape[1] * height / right.shape[0])))
    gap = max(4, height // 50) if gap is None else gap
    halves = [left, right] if titles is None else [titled(h, t) for h, t in zip((left, right), titles, strict=True)]
    space = np.full((halves[0].shape[0], gap, 3), PAPER, np.uint8)
    return np.hstack([halves[0], space, halves[1]])


def titled(image: Image, title: str, width: int | None = None) -> Image:
    """An image below a white strip with a title.

    Args:
        image: uint8 [H, W, 3], RGB.
        title: shortened if it does not fit.
        width: the image is resized to this width first; None: it keeps its own.
    """
    if width is not None:
        image = resize(image, max(1, round(image.shape[0] * width / image.shape[1])), width)
    height, width = image.shape[:2]
    text_height = max(9.0, math.sqrt(height * width) / 36)
    size, thickness = font_of(text_height)
    strip = np.full((round(2.4 * text_height), width, 3), PAPER, np.uint8)
    text = shorten(title, "", width - 4, size, thickness)
    cv2.putText(strip, text, (2, round(1.6 * text_height)), FONT, size, INK, thickness, cv2.LINE_AA)
    return np.vstack([strip, image])


def contact_sheet(images: Sequence[Image], columns: int = 4, cell_width: int = 320, gap: int = 8) -> Image:
    """Pictures in a grid on white, row by row, each as large as its cell allows and centred in it.

    A cell has the median aspect ratio of the pictures, but is at most 1.5 times as high as wide, so that a few
    panoramas or portraits do not decide the layout. The sheet is `min(columns, n) * (cell_width + gap) + gap` wide.

    Args:
        images: uint8 [H, W, 3], RGB, of any sizes.
        columns: pictures per row.
        cell_width: in pixels.
        gap: space around each cell in pixels.

    Raises:
        ValueError: there is no picture, or `columns` is less than 1.
    """
    if not images or columns < 1:
        raise ValueError(f"a contact sheet needs pictures and columns, not {len(images)} and {columns}")
    columns = min(columns, len(images))
    ratio = min(1.5, float(np.median([image.shape[0] / image.shape[1] for image in images])))
    cell_height = max(1, round(cell_width * ratio))
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * (cell_height + gap) + gap, columns * (cell_width + gap) + gap, 3), PAPER, np.uint8)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        fitted = _fitted(image, cell_height, cell_width)
        y = gap + row * (cell_height + gap) + (cell_height - fitted.shape[0]) // 2
        x = gap + column * (cell_width + gap) + (cell_width - fitted.shape[1]) // 2
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
    return sheet


def shrink(image: Image, width: int) -> Image:
    """The image at most `width` pixels wide, with its aspect ratio."""
    if image.shape[1] <= width:
        return image
    return resize(image, max(1, round(image.shape[0] * width / image.shape[1])), width)


def _fitted(image: Image, height: int, width: int) -> Image:
    ratio = min(height / image.shape[0], width / image.shape[1])
    return resize(image, max(1, round(image.shape[0] * ratio)), max(1, round(image.shape[1] * ratio)))
