"""Pictures of the embedded data set: textured shapes on cluttered backgrounds, with boxes and VOC's flags.

    picture = draw_picture(np.random.default_rng(0))       # .pixels, .boxes, .labels, .difficult ...
    pixels = draw_crop(np.random.default_rng(0), 64, SHAPE_CLASSES.index("star"))

They have in small what makes real data hard: objects from 18 pixels up, objects partly hidden by others and by clutter,
objects cut by the border, colours similar to the background, distractors. Texture and colour are independent of the
class.

Boxes enclose what is visible, which was also the instruction to VOC's annotators. Objects of which little is visible
are marked difficult, and every object shows at least `_MIN_VISIBLE` of itself. Pictures are painted back to front at
twice their size, for smooth edges; `_Canvas.owner` records which item each pixel shows, so that visibility is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

from resdet.data.embedded.outlines import SHAPE_CLASSES, bar, blob, draw_outlines, turned
from resdet.data.embedded.paint import SCALE, draw_paint, muted_colour, to_bytes

_IMAGE_SIZES = ((240, 320), (320, 240))  # (height, width)
_OBJECTS = (3, 10)  # least and most objects in a picture
_OBJECT_SIZE = (19.0, 100.0)  # square root of the unoccluded box's area in pixels, log-uniform
_MIN_VISIBLE = 0.17  # visible fraction that every object keeps; other placements are drawn again
_USUAL_VISIBLE = 0.5  # the same, in 6 of 10 pictures
_DIFFICULT_VISIBLE = 0.35  # objects with a smaller visible fraction are marked difficult
_DIFFICULT_SIZE = 15.0  # also objects whose visible box has a smaller square root of its area
_OCCLUDED = 0.05  # VOC's flag "occluded": a larger fraction is hidden by others
_TILT = np.radians(35)  # shapes are rotated by at most this from upright
_TRIES = 30  # placements that are tried for one item
_CLUTTER = -1  # label of items that are no objects


@dataclass
class Picture:
    """A picture and its G objects."""

    pixels: np.ndarray  # uint8 [H, W, 3], BGR as OpenCV writes it
    boxes: np.ndarray  # float64 [G, 4], continuous; whole numbers
    labels: np.ndarray  # int64 [G]
    difficult: np.ndarray  # bool [G]
    truncated: np.ndarray  # bool [G]
    occluded: np.ndarray  # bool [G]


@dataclass
class _Item:
    """An object or a piece of clutter in the canvas's enlarged pixels; it may extend beyond the canvas."""

    label: int  # a class, or _CLUTTER
    mask: np.ndarray  # bool [h, w]
    x: int  # of the mask's left column on the canvas
    y: int  # of the mask's top row on the canvas
    contours: list[np.ndarray]  # int32 [P, 1, 2] each, in the mask's pixels


@dataclass
class _Canvas:
    """The enlarged picture while it is painted."""

    pixels: np.ndarray  # uint8 [H, W, 3], enlarged
    owner: np.ndarray  # int32 [H, W]: index in `items` of the item that is visible, -1 for background
    items: list[_Item] = field(default_factory=list)
    shown: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # visible pixels of each item

    def window(self, item: _Item) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The (rows, columns) of the canvas under the item, and the (rows, columns) of the item on the canvas."""
        height, width = self.owner.shape
        top, left = max(item.y, 0), max(item.x, 0)
        bottom = max(top, min(item.y + item.mask.shape[0], height))
        right = max(left, min(item.x + item.mask.shape[1], width))
        own = slice(top - item.y, bottom - item.y), slice(left - item.x, right - item.x)
        return (slice(top, bottom), slice(left, right)), own

    def visible_after(self, item: _Item) -> np.ndarray:
        """Visible fraction of every item, the new one last, if `item` were painted now: float64 [items + 1]."""
        on_canvas, own = self.window(item)
        mask = item.mask[own]
        covered = np.bincount(self.owner[on_canvas][mask] + 1, minlength=len(self.items) + 1)[1:]
        shown = np.append(self.shown - covered, np.count_nonzero(mask))
        return shown / [max(1, np.count_nonzero(i.mask)) for i in (*self.items, item)]

    def add(self, item: _Item, rng: np.random.Generator) -> None:
        """Paint `item` over all earlier ones, in half of the cases with a shadow."""
        on_canvas, own = self.window(item)
        mask = item.mask[own]
        covered = np.bincount(self.owner[on_canvas][mask] + 1, minlength=len(self.items) + 1)[1:]
        self.shown = np.append(self.shown - covered, np.count_nonzero(mask))
        self.owner[on_canvas][mask] = len(self.items)
        self.items.append(item)
        mask_size = item.mask.shape[0], item.mask.shape[1]
        paint = draw_paint(rng, mask_size, item.contours, self.pixels[on_canvas], item.label == _CLUTTER)
        if rng.random() < 0.5:
            self._cast_shadow(item, offset=int(rng.integers(2, 7)))
        np.copyto(self.pixels[on_canvas], paint[own], where=mask[..., None])

    def _cast_shadow(self, item: _Item, offset: int) -> None:
        on_canvas, own = self.window(_Item(_CLUTTER, item.mask, item.x + offset, item.y + offset, []))
        shade = cv2.blur(item.mask.astype(np.float32), (7, 7))[own]
        under = self.pixels[on_canvas]
        under[:] = under * (1 - 0.35 * shade[..., None])


def draw_picture(rng: np.random.Generator) -> Picture:
    """Draw one picture with up to 10 objects, 320x240 or 240x320 pixels."""
    height, width = _IMAGE_SIZES[rng.integers(len(_IMAGE_SIZES))]
    canvas = _draw_background(rng, height, width)
    floor = _MIN_VISIBLE if rng.random() < 0.4 else _USUAL_VISIBLE
    for _ in range(rng.integers(_OBJECTS[0], _OBJECTS[1] + 1)):
        label = int(rng.integers(len(SHAPE_CLASSES)))
        size = float(np.exp(rng.uniform(*np.log(_OBJECT_SIZE))))
        _place(canvas, rng, floor, partial(_random_shape, rng, canvas, label, size))
        if rng.random() < 0.25:
            _place(canvas, rng, floor, partial(_occluder, rng, canvas, len(canvas.items) - 1))
    return _finish(canvas, rng)


def draw_crop(rng: np.random.Generator, size: int, label: int) -> np.ndarray:
    """Draw one shape of class `label` near the middle: uint8 [size, size, 3], BGR."""
    canvas = _draw_background(rng, size, size)
    centre = SCALE * size * rng.uniform(0.42, 0.58, 2)
    canvas.add(_shape(rng, label, size * rng.uniform(0.4, 0.9), centre), rng)
    if rng.random() < 0.25:
        _place(canvas, rng, _USUAL_VISIBLE, partial(_occluder, rng, canvas, len(canvas.items) - 1))
    return _shrink(canvas.pixels, rng)


def draw_single(rng: np.random.Generator, size: tuple[int, int], label: int) -> tuple[np.ndarray, list[float]]:
    """Draw one large shape anywhere in a picture.

    Args:
        rng: source of everything random.
        size: (height, width).
        label: class of the shape.

    Returns:
        Pixels uint8 [height, width, 3], BGR, and the box of what is visible, continuous x1, y1, x2, y2.
    """
    height, width = size
    canvas = _draw_background(rng, height, width)
    side = min(size) * rng.uniform(0.35, 0.9)
    margin = np.minimum(0.5 * side, np.array([width, height]) / 2)
    item = _shape(rng, label, side, SCALE * rng.uniform(margin, np.array([width, height]) - margin))
    canvas.add(item, rng)
    index = len(canvas.items) - 1
    if rng.random() < 0.25:
        _place(canvas, rng, _USUAL_VISIBLE, partial(_occluder, rng, canvas, index))
    box, *_ = _describe(canvas, index, item)
    return _shrink(canvas.pixels, rng), box


def _place(canvas: _Canvas, rng: np.random.Generator, floor: float, propose: Callable[[], _Item]) -> None:
    """Paint the first proposed item that leaves the fraction `floor` of every object visible; none after `_TRIES`."""
    for _ in range(_TRIES):
        item = propose()
        visible = canvas.visible_after(item)
        is_object = np.array([i.label != _CLUTTER for i in (*canvas.items, item)])
        if visible[is_object].min(initial=1.0) >= floor:
            canvas.add(item, rng)
            return


def _finish(canvas: _Canvas, rng: np.random.Generator) -> Picture:
    rows = []
    for index, item in enumerate(canvas.items):
        if item.label != _CLUTTER:
            rows.append(_describe(canvas, index, item))
    boxes, labels, difficult, truncated, occluded = zip(*rows, strict=True)
    pixels = _shrink(canvas.pixels, rng)
    return Picture(
        pixels, np.array(boxes), np.array(labels), np.array(difficult), np.array(truncated), np.array(occluded)
    )


def _describe(canvas: _Canvas, index: int, item: _Item) -> tuple[list[float], int, bool, bool, bool]:
    """Box, label, and the flags difficult, truncated and occluded of one object."""
    (rows, columns), own = canvas.window(item)
    y, x = np.nonzero(canvas.owner[rows, columns] == index)
    x1, y1 = (x.min() + columns.start) // SCALE, (y.min() + rows.start) // SCALE
    x2, y2 = -(-(x.max() + columns.start + 1) // SCALE), -(-(y.max() + rows.start + 1) // SCALE)
    on_canvas, whole = np.count_nonzero(item.mask[own]), np.count_nonzero(item.mask)
    difficult = len(x) < _DIFFICULT_VISIBLE * whole or (x2 - x1) * (y2 - y1) < _DIFFICULT_SIZE**2
    occluded = len(x) < (1 - _OCCLUDED) * on_canvas
    return (
        [float(x1), float(y1), float(x2), float(y2)],
        item.label,
        bool(difficult),
        bool(on_canvas < whole),
        bool(occluded),
    )


def _shrink(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Average down to the picture's size and add noise like a camera sensor's."""
    height, width = (side // SCALE for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    noise = rng.integers(-128, 128, small.shape, np.int8) * np.float32(rng.uniform(0.01, 0.07))
    return to_bytes(small + noise)


def _draw_background(rng: np.random.Generator, height: int, width: int) -> _Canvas:
    """A smooth gradient of muted colours, in half of the cases with grain, with lines and clutter on it."""
    cells = (*rng.integers(2, 6, 2), 1)
    light, tint = rng.normal(0, rng.uniform(8, 40), cells), rng.normal(0, 8, (*cells[:2], 3))
    soft = (muted_colour(rng) + light + tint).astype(np.float32)
    soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        grain = rng.integers(-14, 15, (height // 4, width // 4)).astype(np.float32)
        soft += cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]

    size = width * SCALE, height * SCALE
    canvas = _Canvas(cv2.resize(to_bytes(soft), size), np.full(size[::-1], -1, np.int32))
    share = height * width / (320 * 240)
    for _ in range(rng.poisson(10 * share + 1)):
        _draw_line(rng, canvas.pixels)
    for _ in range(rng.poisson(4 * share + 0.3)):
        side = float(rng.uniform(10, 50) * np.sqrt(share).clip(0.4))
        canvas.add(_clutter(rng, side, rng.uniform(0, 1, 2) * size), rng)
    return canvas


def _draw_line(rng: np.random.Generator, pixels: np.ndarray) -> None:
    """A curved stroke: a quadratic Bezier curve of three random points."""
    height, width = pixels.shape[:2]
    start = rng.uniform(0, 1, 2) * (width, height)
    bend, end = start + rng.normal(0, 0.2 * width, (2, 2))
    t = np.linspace(0, 1, 24)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    colour = muted_colour(rng).tolist()
    cv2.polylines(pixels, [curve.round().astype(np.int32)], False, colour, int(rng.integers(1, 9)), cv2.LINE_AA)


def _clutter(rng: np.random.Generator, size: float, centre: np.ndarray) -> _Item:
    """A blob or a bar; `size` is the square root of its box's area in pixels of the picture."""
    outline = bar(rng) if rng.random() < 0.5 else blob(rng)
    return _item(_CLUTTER, [turned(outline, rng, np.pi)], size, centre)


def _occluder(rng: np.random.Generator, canvas: _Canvas, target: int) -> _Item:
    """Clutter around the border of an item, to hide a part of it."""
    item = canvas.items[target]
    sides = np.array(item.mask.shape[::-1])
    centre = np.array([item.x, item.y]) + sides / 2 + rng.uniform(-0.5, 0.5, 2) * sides
    return _clutter(rng, float(sides.mean()) / SCALE * rng.uniform(0.4, 0.9), centre)


def _random_shape(rng: np.random.Generator, canvas: _Canvas, label: int, size: float) -> _Item:
    """A shape at a random place, in one case of four possibly cut by the border."""
    height, width = canvas.owner.shape
    # The distance from the border is at least 0.55 boxes, and in one case of four less than half a box.
    margin = SCALE * size * (rng.uniform(0.15, 0.45) if rng.random() < 0.25 else 0.55)
    centre = rng.uniform(margin, np.array([width, height]) - margin)
    return _shape(rng, label, size, centre)


def _shape(rng: np.random.Generator, label: int, size: float, centre: np.ndarray) -> _Item:
    outlines = draw_outlines(rng, SHAPE_CLASSES[label])
    lengths = np.cumsum([len(outline) for outline in outlines])[:-1]
    points = turned(np.concatenate(outlines), rng, _TILT)
    return _item(label, np.split(points, lengths), size, centre)


def _item(label: int, outlines: list[np.ndarray], size: float, centre: np.ndarray) -> _Item:
    """Scale outlines so that the square root of the box's area is `size` pixels, and fill them (even-odd: holes)."""
    points = np.concatenate(outlines)
    low, sides = points.min(0), np.ptp(points, axis=0)
    scale = SCALE * size / np.sqrt(sides.prod())
    width, height = np.ceil(sides * scale).astype(int) + 1
    contours = [((outline - low) * scale).round().astype(np.int32)[:, None] for outline in outlines]
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, contours, 1)
    x, y = (centre - (width / 2, height / 2)).round().astype(int)
    return _Item(label, mask.astype(bool), int(x), int(y), contours)
