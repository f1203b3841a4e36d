"""Boxes with labels on a picture, drawn with OpenCV.

    picture = draw_detections(image, boxes, labels, scores, classes)
    truth = draw_truth(image, true_boxes, true_labels, classes)

Images are uint8 [H, W, 3] in RGB. Boxes are float [D, 4], (x1, y1, x2, y2) in continuous pixels of the image that is
passed, so that x2 - x1 is the width. Every function returns a new array.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from resdet.report.canvas import FONT, PAPER, Colour, Image, class_colour, font_of, shorten, text_colour

Rect = tuple[int, int, int, int]  # x1, y1, x2, y2 in whole pixels, x2 and y2 exclusive

LEGIBLE_SIDE = 500  # pictures with a shorter side below this are enlarged before anything is written on them
LONGEST_SIDE = 2400  # ... but not beyond this long side
MOST_CAPTIONS = 100  # boxes with a label; more would cover the picture, and placing them takes time with their square


def draw_detections(
    image: Image,
    boxes: NDArray[np.floating],
    labels: NDArray[np.integer],
    scores: NDArray[np.floating] | None,
    classes: Sequence[str],
    threshold: float = 0.5,
    *,
    scale: int | None = None,
) -> Image:
    """Draw boxes with their classes and scores, the best score on top.

    Of more than MOST_CAPTIONS boxes those with the best scores are labelled, and the picture says so.

    Args:
        image: uint8 [H, W, 3], RGB.
        boxes: [D, 4] in pixels of `image`. Boxes that are not finite or entirely outside are left out.
        labels: [D], indices into `classes`.
        scores: [D], 0..1; None: all boxes are drawn, without scores.
        classes: names, by label.
        threshold: boxes with a lower score are left out.
        scale: factor by which the picture is enlarged first; None: only small images are (`legible_scale`).

    Returns:
        The picture, uint8 [scale * H, scale * W, 3].

    Raises:
        ValueError: an array has another shape or type than stated, or a label has no class.
    """
    _check(image, boxes, labels, classes)
    colours = [class_colour(int(k)) for k in labels]
    if scores is None:
        return _draw(image, boxes, colours, [(classes[k], "") for k in labels], scale)
    if len(scores) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes but {len(scores)} scores")
    order = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= threshold]
    captions = [(classes[labels[i]], f" {scores[i]:.2f}") for i in order]
    return _draw(image, boxes[order], [colours[i] for i in order], captions, scale)


def draw_truth(
    image: Image,
    boxes: NDArray[np.floating],
    labels: NDArray[np.integer],
    classes: Sequence[str],
    ignored: NDArray[np.bool_] | None = None,
    *,
    scale: int | None = None,
) -> Image:
    """Draw annotated objects: dashed boxes with their classes.

    Of more than MOST_CAPTIONS boxes the first ones are labelled, and the picture says so.

    Args:
        image: uint8 [H, W, 3], RGB.
        boxes: [G, 4] in pixels of `image`.
        labels: [G], indices into `classes`.
        classes: names, by label.
        ignored: [G], objects that an evaluation ignores (VOC's difficult, COCO's crowd); None: none of them.
        scale: factor by which the picture is enlarged first; None: only small images are (`legible_scale`).

    Returns:
        The picture, uint8 [scale * H, scale * W, 3].

    Raises:
        ValueError: an array has another shape or type than stated, or a label has no class.
    """
    _check(image, boxes, labels, classes)
    flags = np.zeros(len(boxes), bool) if ignored is None else ignored
    captions = [(classes[k], " (ignored)" if flag else "") for k, flag in zip(labels, flags, strict=True)]
    return _draw(image, boxes, [class_colour(int(k)) for k in labels], captions, scale, dashed=True)


def draw_captions(
    image: Image,
    boxes: NDArray[np.floating],
    captions: Sequence[tuple[str, str]],
    colours: Sequence[Colour],
    dashed: bool = False,
) -> Image:
    """Draw boxes with captions of one's own, the first on top.

    Of more than MOST_CAPTIONS boxes the first ones are labelled, and the picture says so.

    Args:
        image: uint8 [H, W, 3], RGB; small ones are enlarged (`legible_scale`).
        boxes: [D, 4] in pixels of `image`.
        captions: [D], a name, which is cut where the picture is too narrow, and what follows it.
        colours: [D], RGB.
        dashed: as annotated objects are drawn.

    Returns:
        The picture, uint8 [scale * H, scale * W, 3].
    """
    return _draw(image, boxes, colours, captions, None, dashed)


def legible_scale(height: int, width: int) -> int:
    """The integer factor by which a small image is enlarged, so that labels can be read; 1 for large images.

    The short side becomes at least `LEGIBLE_SIDE` pixels unless the long side would exceed `LONGEST_SIDE`.
    """
    wanted = math.ceil(LEGIBLE_SIDE / min(height, width))
    return max(1, min(wanted, LONGEST_SIDE // max(height, width)))


def _check(image: Image, boxes: NDArray[Any], labels: NDArray[Any], classes: Sequence[str]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
    if boxes.shape != (len(labels), 4):
        raise ValueError(f"{len(labels)} labels need boxes of shape [{len(labels)}, 4], not {list(boxes.shape)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ValueError(f"labels {labels.min()}..{labels.max()} do not fit {len(classes)} classes")


def _draw(
    image: Image,
    boxes: NDArray[Any],
    colours: Sequence[Colour],
    captions: Sequence[tuple[str, str]],
    scale: int | None,
    dashed: bool = False,
) -> Image:
    """Draw outlines first, from the last box to the first, then the labels, so that no line crosses a label."""
    factor = legible_scale(*image.shape[:2]) if scale is None else scale
    canvas = _enlarged(image, factor)
    height, width = canvas.shape[:2]
    side = math.sqrt(height * width)
    line = max(2, round(side / (420 if dashed else 330)))
    visible = [(i, _on_canvas(boxes[i] * factor, height, width, line)) for i in range(len(boxes))]
    drawn = [(i, rect, colours[i]) for i, rect in visible if rect is not None]

    period = max(14, 10 * line) if dashed else 0
    shade = canvas.copy()  # a dark rim, for contrast where the picture has the outline's colour
    for _, rect, _ in drawn:
        _outline(shade, rect, (0, 0, 0), line + 2, period)
    blended: Image = cv2.addWeighted(shade, 0.4, canvas, 0.6, 0)
    for _, rect, colour in reversed(drawn):
        _outline(blended, rect, colour, line, period)

    taken: list[Rect] = []
    text_height = max(9.0, side / 40)
    for i, rect, colour in drawn[:MOST_CAPTIONS]:
        taken.append(_label(blended, rect, captions[i], colour, taken, text_height, line))
    if len(drawn) > MOST_CAPTIONS:
        corner = (0, height, 0, height)
        note = f"{MOST_CAPTIONS} of {len(drawn):,} boxes are labelled"
        _label(blended, corner, (note, ""), PAPER, (), text_height, line)
    return blended


def _on_canvas(box: NDArray[Any], height: int, width: int, line: int) -> Rect | None:
    """Centres of the outline's lines, moved inwards until they are inside of the picture; None: the box is outside."""
    if not np.isfinite(box).all() or box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
        return None
    inset = (line + 1) // 2
    x1, x2 = (int(min(max(round(float(v)), inset), max(inset, width - 1 - inset))) for v in box[[0, 2]])
    y1, y2 = (int(min(max(round(float(v)), inset), max(inset, height - 1 - inset))) for v in box[[1, 3]])
    return x1, y1, x2, y2


def _outline(canvas: Image, rect: Rect, colour: Colour, line: int, period: int) -> None:
    """Draw a rectangle; with dashes of `period` pixels if that is not 0."""
    x1, y1, x2, y2 = rect
    if not period:
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, line, cv2.LINE_AA)
        return
    for start, end in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
        for a, b in _dashes(start, end, period):
            cv2.line(canvas, a, b, colour, line, cv2.LINE_AA)


def _dashes(
    start: tuple[int, int], end: tuple[int, int], period: int
) -> Iterable[tuple[tuple[int, int], tuple[int, int]]]:
    """Start and end of each dash from corner to corner; half a dash at both ends closes the corners."""
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    count = max(1, round(length / period))
    at = [(start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * t) for t in _dash_ends(count)]
    points = [(round(x), round(y)) for x, y in at]
    return zip(points[::2], points[1::2], strict=True)


def _dash_ends(count: int) -> list[float]:
    """Starts and ends of `count` dashes on a side of length 1: (0, 0.25, 0.75, 1.25, ...) / count."""
    inner = [(k + offset) / count for k in range(count) for offset in (0.25, 0.75)]
    return [0.0, *inner, 1.0]


def _label(
    canvas: Image,
    rect: Rect,
    caption: tuple[str, str],
    colour: Colour,
    taken: Sequence[Rect],
    text_height: float,
    line: int,
) -> Rect:
    """Write a label on a filled rectangle beside `rect`, inside of the picture. Returns that rectangle."""
    height, width = canvas.shape[:2]
    size, thickness = font_of(text_height)
    pad = max(3, round(0.4 * text_height))
    text = shorten(*caption, limit=width - 2 * pad, size=size, thickness=thickness)
    (text_width, _), _ = cv2.getTextSize(text, FONT, size, thickness)
    w, h = text_width + 2 * pad, round(text_height) + 2 * pad
    x, y = _free_place(rect, w, h, height, width, taken, line)
    cv2.rectangle(canvas, (x, y), (x + w - 1, y + h - 1), colour, cv2.FILLED)
    baseline = (x + pad, y + pad + round(text_height))
    cv2.putText(canvas, text, baseline, FONT, size, text_colour(colour), thickness, cv2.LINE_AA)
    return x, y, x + w, y + h


def _free_place(
    rect: Rect, w: int, h: int, height: int, width: int, taken: Sequence[Rect], line: int
) -> tuple[int, int]:
    """The position, of eight around the box, at which the label overlaps earlier labels least."""
    half = line // 2
    x1, y1, x2, y2 = rect[0] - half, rect[1] - half, rect[2] + half + 1, rect[3] + half + 1
    places = [(x1, y1 - h), (x1, y1), (x2 - w, y1 - h), (x2 - w, y1)]
    places += [(x1, y2), (x1, y2 - h), (x2 - w, y2), (x2 - w, y2 - h)]
    inside = [(max(0, min(x, width - w)), max(0, min(y, height - h))) for x, y in places]
    return min(inside, key=lambda p: sum(_overlap((*p, p[0] + w, p[1] + h), other) for other in taken))


def _overlap(a: Rect, b: Rect) -> int:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    return max(0, w) * max(0, h)


def _enlarged(image: Image, factor: int) -> Image:
    if factor == 1:
        return np.ascontiguousarray(image).copy()
    result: Image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return result
