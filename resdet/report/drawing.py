"""Boxes, labels and sheets of pictures, drawn with OpenCV.

    picture = draw_detections(image, boxes, labels, scores, classes)
    truth = draw_truth(image, true_boxes, true_labels, classes)
    save_image("pair.png", side_by_side(truth, picture))

Images are uint8 arrays [H, W, 3] in RGB; boxes are float [D, 4], (x1, y1, x2, y2) in continuous pixels of the image
handed in, so that x2 - x1 is the width. Every function returns a new array and leaves its input alone.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from resdet.errors import UserError

Image = NDArray[np.uint8]  # [H, W, 3], RGB
Colour = tuple[int, int, int]  # RGB, 0..255
Rect = tuple[int, int, int, int]  # x1, y1, x2, y2 in whole pixels, x2 and y2 exclusive

LEGIBLE_SIDE = 500  # pictures with a shorter side below this are enlarged before anything is written on them
LONGEST_SIDE = 2400  # ... but not beyond this long side
PAPER: Colour = (255, 255, 255)
INK: Colour = (31, 41, 51)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


# ---------------------------------------------------------------------------------------------- boxes on a picture


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
    """A copy of `image` with solid boxes and their class and score, the best score on top.

    Args:
        image: uint8 [H, W, 3], RGB.
        boxes: [D, 4] in pixels of `image`. Boxes that are not finite or wholly outside are left out.
        labels: [D], indices into `classes`.
        scores: [D], or None to draw every box without a score.
        classes: names, by label.
        threshold: boxes with a lower score are left out.
        scale: the picture is this many times as large as `image`; None enlarges only small images (`legible_scale`).

    Raises:
        ValueError: an array has another shape or type than stated, or a label has no class.
    """
    _check(image, boxes, labels, classes)
    if scores is None:
        return _draw(image, boxes, labels, [(classes[k], "") for k in labels], scale)
    if len(scores) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes but {len(scores)} scores")
    order = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= threshold]
    captions = [(classes[labels[i]], f" {scores[i]:.2f}") for i in order]
    return _draw(image, boxes[order], labels[order], captions, scale)


def draw_truth(
    image: Image,
    boxes: NDArray[np.floating],
    labels: NDArray[np.integer],
    classes: Sequence[str],
    ignored: NDArray[np.bool_] | None = None,
    *,
    scale: int | None = None,
) -> Image:
    """Like `draw_detections` for annotated objects: dashed boxes, no scores.

    `ignored` [G] marks the objects that count neither as hit nor as miss (PASCAL's difficult, COCO's crowd).
    """
    _check(image, boxes, labels, classes)
    flags = np.zeros(len(boxes), bool) if ignored is None else ignored
    captions = [(classes[k], " (ignored)" if flag else "") for k, flag in zip(labels, flags, strict=True)]
    return _draw(image, boxes, labels, captions, scale, dashed=True)


def legible_scale(height: int, width: int) -> int:
    """The whole factor that brings the short side to about `LEGIBLE_SIDE` pixels; 1 for images that have them."""
    wanted = math.ceil(LEGIBLE_SIDE / min(height, width))
    return max(1, min(wanted, LONGEST_SIDE // max(height, width)))


@cache
def class_colour(index: int) -> Colour:
    """The colour of class `index`, the same in every picture and plot, whatever the other classes are.

    Hues a golden angle apart (any first n of them are well spread) and three lightnesses in turn, in OKLCH, where
    equal steps look equal (Ottosson 2020, "A perceptual color space for image processing").
    """
    lightness = (0.66, 0.76, 0.58)[index % 3]
    hue = math.radians(232 + 137.50776 * index)
    a, b = 0.19 * math.cos(hue), 0.19 * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _srgb(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _srgb(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _srgb(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


# ---------------------------------------------------------------------------------------------- pictures together


def side_by_side(
    left: Image, right: Image, titles: tuple[str, str] | None = ("ground truth", "detections"), gap: int | None = None
) -> Image:
    """Two pictures on one sheet, the right one brought to the height of the left one, `titles` above them.

    `gap` is the space between them in pixels; None: a fiftieth of the height.
    """
    height = left.shape[0]
    right = _resized(right, height, max(1, round(right.shape[1] * height / right.shape[0])))
    gap = max(4, height // 50) if gap is None else gap
    halves = [left, right] if titles is None else [titled(h, t) for h, t in zip((left, right), titles, strict=True)]
    space = np.full((halves[0].shape[0], gap, 3), PAPER, np.uint8)
    return np.hstack([halves[0], space, halves[1]])


def titled(image: Image, title: str, width: int | None = None) -> Image:
    """`image` under a strip of paper with a title; brought to `width` pixels before, if that is given."""
    if width is not None:
        image = _resized(image, max(1, round(image.shape[0] * width / image.shape[1])), width)
    height, width = image.shape[:2]
    text_height = max(9.0, math.sqrt(height * width) / 36)
    size, thickness = _font(text_height)
    strip = np.full((round(2.4 * text_height), width, 3), PAPER, np.uint8)
    text = _shortened(title, "", width - 4, size, thickness)
    cv2.putText(strip, text, (2, round(1.6 * text_height)), _FONT, size, INK, thickness, cv2.LINE_AA)
    return np.vstack([strip, image])


def contact_sheet(images: Sequence[Image], columns: int = 4, cell_width: int = 320, gap: int = 8) -> Image:
    """All pictures in a regular grid on white, each as large as its cell allows and centred in it.

    The cells are `cell_width` wide and as high as the median picture is at that width (at most 1.5 times the width),
    so that a few panoramas or portraits do not tear the grid apart. The sheet is
    ``min(columns, n) * (cell_width + gap) + gap`` pixels wide.

    Raises:
        ValueError: there is no picture, or `columns` is less than one.
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
    """`image` at most `width` pixels wide, its aspect ratio kept."""
    if image.shape[1] <= width:
        return image
    return _resized(image, max(1, round(image.shape[0] * width / image.shape[1])), width)


# ---------------------------------------------------------------------------------------------- files


def encode_image(image: Image, suffix: str = ".png", quality: int = 92) -> bytes:
    """`image` as the bytes of a file of the type of `suffix`; `quality` is that of JPEG and WebP.

    Raises:
        UserError: OpenCV writes no such type.
    """
    bgr = np.ascontiguousarray(image[..., ::-1])
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1] if suffix in (".jpg", ".jpeg") else []
    options = [cv2.IMWRITE_WEBP_QUALITY, quality] if suffix == ".webp" else options
    try:
        done, data = cv2.imencode(suffix, bgr, options)
    except cv2.error:
        done = False
    if not done:
        raise UserError(f"'{suffix}' is no image type that can be written: name the file .png, .jpg or .webp")
    return data.tobytes()


def save_image(path: str | Path, image: Image) -> None:
    """Write an RGB picture; the type follows the file's suffix, missing folders are made, a half file never appears.

    Raises:
        UserError: the suffix is no image type, or the folder cannot be written.
    """
    try:
        data = encode_image(image, Path(path).suffix.lower())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    write_whole(path, data)


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file beside its place and move it there, so that a reader sees the old file or the new one.

    Raises:
        UserError: the folder cannot be made or written.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        _forget(draft)
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be written ({reason}); choose a folder that you may write to") from None


def _forget(draft: Path) -> None:
    with contextlib.suppress(OSError):
        draft.unlink()


# ---------------------------------------------------------------------------------------------- how it is drawn


def _check(image: Image, boxes: NDArray, labels: NDArray, classes: Sequence[str]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
    if boxes.shape != (len(labels), 4):
        raise ValueError(f"{len(labels)} labels need boxes of shape [{len(labels)}, 4], not {list(boxes.shape)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ValueError(f"labels {labels.min()}..{labels.max()} do not fit {len(classes)} classes")


def _draw(
    image: Image,
    boxes: NDArray,
    labels: NDArray,
    captions: Sequence[tuple[str, str]],
    scale: int | None,
    dashed: bool = False,
) -> Image:
    """Outlines first, from the last box to the first, then every chip: no line crosses a label."""
    factor = legible_scale(*image.shape[:2]) if scale is None else scale
    canvas = _enlarged(image, factor)
    height, width = canvas.shape[:2]
    side = math.sqrt(height * width)
    line = max(2, round(side / (420 if dashed else 330)))
    visible = [(i, _on_canvas(boxes[i] * factor, height, width, line)) for i in range(len(boxes))]
    drawn = [(i, rect, class_colour(int(labels[i]))) for i, rect in visible if rect is not None]

    period = max(14, 10 * line) if dashed else 0
    shade = canvas.copy()  # a dark rim, so that an outline is seen on its own colour too
    for _, rect, _ in drawn:
        _outline(shade, rect, (0, 0, 0), line + 2, period)
    canvas = cv2.addWeighted(shade, 0.4, canvas, 0.6, 0)
    for _, rect, colour in reversed(drawn):
        _outline(canvas, rect, colour, line, period)

    taken: list[Rect] = []
    for i, rect, colour in drawn:
        taken.append(_chip(canvas, rect, captions[i], colour, taken, text_height=max(9.0, side / 40), line=line))
    return canvas


def _on_canvas(box: NDArray, height: int, width: int, line: int) -> Rect | None:
    """The line centres of an outline, moved inwards so that all of the line is in the picture; None: not visible."""
    if not np.isfinite(box).all() or box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
        return None
    inset = (line + 1) // 2
    x1, x2 = (int(min(max(round(float(v)), inset), max(inset, width - 1 - inset))) for v in box[[0, 2]])
    y1, y2 = (int(min(max(round(float(v)), inset), max(inset, height - 1 - inset))) for v in box[[1, 3]])
    return x1, y1, x2, y2


def _outline(canvas: Image, rect: Rect, colour: Colour, line: int, period: int) -> None:
    """A closed rectangle, or dashes that return every `period` pixels if that is not 0."""
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
    """Dashes from corner to corner: half a dash at both ends, so that corners are always closed."""
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    count = max(1, round(length / period))
    at = [(start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * t) for t in _dash_ends(count)]
    points = [(round(x), round(y)) for x, y in at]
    return zip(points[::2], points[1::2], strict=True)


def _dash_ends(count: int) -> list[float]:
    """Where dashes begin and end on a side of length one: [0, .25], [.75, 1.25], ... divided by `count`."""
    inner = [(k + offset) / count for k in range(count) for offset in (0.25, 0.75)]
    return [0.0, *inner, 1.0]


def _chip(
    canvas: Image,
    rect: Rect,
    caption: tuple[str, str],
    colour: Colour,
    taken: Sequence[Rect],
    text_height: float,
    line: int,
) -> Rect:
    """Write a label on a filled chip beside `rect`, inside the picture; returns the chip's place."""
    height, width = canvas.shape[:2]
    size, thickness = _font(text_height)
    pad = max(3, round(0.4 * text_height))
    text = _shortened(*caption, limit=width - 2 * pad, size=size, thickness=thickness)
    (text_width, _), _ = cv2.getTextSize(text, _FONT, size, thickness)
    w, h = text_width + 2 * pad, round(text_height) + 2 * pad
    x, y = _free_place(rect, w, h, height, width, taken, line)
    cv2.rectangle(canvas, (x, y), (x + w - 1, y + h - 1), colour, cv2.FILLED)
    baseline = (x + pad, y + pad + round(text_height))
    cv2.putText(canvas, text, baseline, _FONT, size, _text_colour(colour), thickness, cv2.LINE_AA)
    return x, y, x + w, y + h


def _free_place(
    rect: Rect, w: int, h: int, height: int, width: int, taken: Sequence[Rect], line: int
) -> tuple[int, int]:
    """The first of eight places around the box where the chip covers the least of the earlier chips."""
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


def _font(text_height: float) -> tuple[float, int]:
    """OpenCV's font scale and stroke for capitals of `text_height` pixels, whatever font this OpenCV brings."""
    (_, unit), _ = cv2.getTextSize("A", _FONT, 1.0, 1)
    return text_height / unit, max(1, round(text_height / 14))


def _shortened(name: str, suffix: str, limit: int, size: float, thickness: int) -> str:
    """`name` + `suffix`, the name cut until both fit into `limit` pixels; the suffix is never cut."""
    text = name + suffix
    while cv2.getTextSize(text, _FONT, size, thickness)[0][0] > limit and name:
        name = name[:-1]
        text = f"{name}..{suffix}"
    return text


def _text_colour(background: Colour) -> Colour:
    """Black or white, whichever has the larger contrast (WCAG 2's relative luminance; they tie at 0.179)."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


def _srgb(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    value = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * value)


def _enlarged(image: Image, factor: int) -> Image:
    if factor == 1:
        return np.ascontiguousarray(image).copy()
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def _fitted(image: Image, height: int, width: int) -> Image:
    ratio = min(height / image.shape[0], width / image.shape[1])
    return _resized(image, max(1, round(image.shape[0] * ratio)), max(1, round(image.shape[1] * ratio)))


def _resized(image: Image, height: int, width: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    smaller = height < image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
