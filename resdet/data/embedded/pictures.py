"""The pictures of the embedded data set: textured shapes on clutter, with what can be said of each object.

    picture = draw_picture(np.random.default_rng(0))       # .pixels, .boxes, .labels, .difficult ...
    pixels = draw_crop(np.random.default_rng(0), 64, SHAPE_CLASSES.index("star"))

They have what makes real data hard in small doses: shapes from 18 pixels up, partly hidden ones (by others and by
clutter), ones cut by the border, similar colours, distractors. Texture and colour tell nothing of the class.

Boxes bound what is visible, as VOC's annotators were told. Objects of which little shows are marked difficult, and no
object shows less than `_MIN_VISIBLE`. Pictures are painted back to front at twice their size, which smooths the edges;
`_Canvas.owner` keeps which item each pixel shows, so that what is hidden is counted, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

SHAPE_CLASSES = ("circle", "crescent", "cross", "heart", "ring", "square", "star", "triangle")

_SCALE = 2  # painted larger by this factor, then averaged down
_IMAGE_SIZES = ((240, 320), (320, 240))  # (height, width)
_OBJECTS = (3, 10)
_OBJECT_SIZE = (19.0, 100.0)  # sqrt of the box's area in pixels, log-uniform, while nothing hides it
_MIN_VISIBLE = 0.17  # a placement that would hide more of any object is drawn again
_USUAL_VISIBLE = 0.5  # the same for most images
_DIFFICULT_VISIBLE = 0.35  # less than this is marked difficult
_DIFFICULT_SIZE = 15.0  # so is a visible box with a smaller sqrt of its area
_OCCLUDED = 0.05  # hidden by others by more than this: VOC's flag "occluded"
_TILT = np.radians(35)  # shapes stand upright but for this
_TRIES = 30
_CLUTTER = -1


@dataclass
class Picture:
    """A drawn image and what can be said of its objects."""

    pixels: np.ndarray  # uint8 [H, W, 3], BGR as OpenCV writes it
    boxes: np.ndarray  # float64 [G, 4], continuous, whole pixels
    labels: np.ndarray  # int64 [G]
    difficult: np.ndarray  # bool [G]
    truncated: np.ndarray  # bool [G]
    occluded: np.ndarray  # bool [G]


@dataclass
class _Item:
    """A mask somewhere on (or partly off) the canvas, in the canvas's enlarged pixels."""

    label: int  # a class, or _CLUTTER
    mask: np.ndarray  # bool [h, w]
    x: int
    y: int
    contours: list[np.ndarray]  # int32 [P, 1, 2] in the mask's pixels, for its outline


@dataclass
class _Canvas:
    """What has been painted so far."""

    pixels: np.ndarray  # uint8 [H, W, 3], enlarged
    owner: np.ndarray  # int32 [H, W]: the item that shows, an index into `items`, -1 is background
    items: list[_Item] = field(default_factory=list)
    shown: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # pixels of each item that show

    def window(self, item: _Item) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The part of the canvas under the item, and the item's own part on the canvas."""
        height, width = self.owner.shape
        top, left = max(item.y, 0), max(item.x, 0)
        bottom = max(top, min(item.y + item.mask.shape[0], height))
        right = max(left, min(item.x + item.mask.shape[1], width))
        own = slice(top - item.y, bottom - item.y), slice(left - item.x, right - item.x)
        return (slice(top, bottom), slice(left, right)), own

    def visible_after(self, item: _Item) -> np.ndarray:
        """Fraction that shows of every item, the new one last, if `item` were painted now."""
        on_canvas, own = self.window(item)
        mask = item.mask[own]
        covered = np.bincount(self.owner[on_canvas][mask] + 1, minlength=len(self.items) + 1)[1:]
        shown = np.append(self.shown - covered, np.count_nonzero(mask))
        return shown / [max(1, np.count_nonzero(i.mask)) for i in (*self.items, item)]

    def add(self, item: _Item, rng: np.random.Generator) -> None:
        """Paint `item` over everything before."""
        on_canvas, own = self.window(item)
        mask = item.mask[own]
        covered = np.bincount(self.owner[on_canvas][mask] + 1, minlength=len(self.items) + 1)[1:]
        self.shown = np.append(self.shown - covered, np.count_nonzero(mask))
        self.owner[on_canvas][mask] = len(self.items)
        self.items.append(item)
        paint = _paint(rng, item, self.pixels[on_canvas])
        if rng.random() < 0.5:
            self._cast_shadow(item, offset=int(rng.integers(2, 7)))
        np.copyto(self.pixels[on_canvas], paint[own], where=mask[..., None])

    def _cast_shadow(self, item: _Item, offset: int) -> None:
        on_canvas, own = self.window(_Item(_CLUTTER, item.mask, item.x + offset, item.y + offset, []))
        shade = cv2.blur(item.mask.astype(np.float32), (7, 7))[own]
        under = self.pixels[on_canvas]
        under[:] = under * (1 - 0.35 * shade[..., None])


def draw_picture(rng: np.random.Generator) -> Picture:
    """One picture of 3 to 10 objects, 320x240 or 240x320."""
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
    """One shape of class `label` near the middle of uint8 [size, size, 3], BGR."""
    canvas = _draw_background(rng, size, size)
    centre = _SCALE * size * rng.uniform(0.42, 0.58, 2)
    canvas.add(_shape(rng, label, size * rng.uniform(0.4, 0.9), centre), rng)
    if rng.random() < 0.25:
        _place(canvas, rng, _USUAL_VISIBLE, partial(_occluder, rng, canvas, len(canvas.items) - 1))
    return _shrink(canvas.pixels, rng)


def draw_single(rng: np.random.Generator, size: tuple[int, int], label: int) -> tuple[np.ndarray, list[float]]:
    """One large shape of class `label` anywhere in a picture of `size` (height, width): pixels, BGR, and its box."""
    height, width = size
    canvas = _draw_background(rng, height, width)
    side = min(size) * rng.uniform(0.35, 0.9)
    margin = np.minimum(0.5 * side, np.array([width, height]) / 2)
    item = _shape(rng, label, side, _SCALE * rng.uniform(margin, np.array([width, height]) - margin))
    canvas.add(item, rng)
    index = len(canvas.items) - 1
    if rng.random() < 0.25:
        _place(canvas, rng, _USUAL_VISIBLE, partial(_occluder, rng, canvas, index))
    box, *_ = _describe(canvas, index, item)
    return _shrink(canvas.pixels, rng), box


def _place(canvas: _Canvas, rng: np.random.Generator, floor: float, propose: Callable[[], _Item]) -> None:
    """Paint the first proposal that leaves at least `floor` of every object; an unlucky one is given up."""
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
    """(box, label, difficult, truncated, occluded) of one object."""
    (rows, columns), own = canvas.window(item)
    y, x = np.nonzero(canvas.owner[rows, columns] == index)
    x1, y1 = (x.min() + columns.start) // _SCALE, (y.min() + rows.start) // _SCALE
    x2, y2 = -(-(x.max() + columns.start + 1) // _SCALE), -(-(y.max() + rows.start + 1) // _SCALE)
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
    """Average down to the picture's size and add a sensor's noise."""
    height, width = (side // _SCALE for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    noise = rng.integers(-128, 128, small.shape, np.int8) * np.float32(rng.uniform(0.01, 0.07))
    return _to_bytes(small + noise)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255, out=values).astype(np.uint8)


# --- background and clutter -------------------------------------------------------------------------------------------


def _draw_background(rng: np.random.Generator, height: int, width: int) -> _Canvas:
    """A soft field of muted colours, at times grainy, with lines and blobs."""
    cells = (*rng.integers(2, 6, 2), 1)
    light, tint = rng.normal(0, rng.uniform(8, 40), cells), rng.normal(0, 8, (*cells[:2], 3))
    soft = (_muted_colour(rng) + light + tint).astype(np.float32)
    soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        grain = rng.integers(-14, 15, (height // 4, width // 4)).astype(np.float32)
        soft += cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]

    size = width * _SCALE, height * _SCALE
    canvas = _Canvas(cv2.resize(_to_bytes(soft), size), np.full(size[::-1], -1, np.int32))
    share = height * width / (320 * 240)
    for _ in range(rng.poisson(10 * share + 1)):
        _draw_line(rng, canvas.pixels)
    for _ in range(rng.poisson(4 * share + 0.3)):
        side = float(rng.uniform(10, 50) * np.sqrt(share).clip(0.4))
        canvas.add(_clutter(rng, side, rng.uniform(0, 1, 2) * size), rng)
    return canvas


def _draw_line(rng: np.random.Generator, pixels: np.ndarray) -> None:
    """A bent stroke: a quadratic curve through three random points."""
    height, width = pixels.shape[:2]
    start = rng.uniform(0, 1, 2) * (width, height)
    bend, end = start + rng.normal(0, 0.2 * width, (2, 2))
    t = np.linspace(0, 1, 24)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    colour = _muted_colour(rng).tolist()
    cv2.polylines(pixels, [curve.round().astype(np.int32)], False, colour, int(rng.integers(1, 9)), cv2.LINE_AA)


def _clutter(rng: np.random.Generator, size: float, centre: np.ndarray) -> _Item:
    """A blob or a bar: outlines that no class has."""
    outline = _bar(rng) if rng.random() < 0.5 else _blob(rng)
    return _item(_CLUTTER, [_turn(outline, rng, np.pi)], size, centre)


def _occluder(rng: np.random.Generator, canvas: _Canvas, target: int) -> _Item:
    """Clutter near the rim of an item, to hide a part of it."""
    item = canvas.items[target]
    sides = np.array(item.mask.shape[::-1])
    centre = np.array([item.x, item.y]) + sides / 2 + rng.uniform(-0.5, 0.5, 2) * sides
    return _clutter(rng, float(sides.mean()) / _SCALE * rng.uniform(0.4, 0.9), centre)


def _bar(rng: np.random.Generator) -> np.ndarray:
    half = rng.uniform(0.1, 0.25)
    return np.array([(-1, -half), (1, -half), (1, half), (-1, half)])


def _blob(rng: np.random.Generator) -> np.ndarray:
    """A closed curve whose radius is a random low Fourier series."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(angle)
    for order, strength in ((2, 0.3), (3, 0.2), (4, 0.1)):
        radius += rng.uniform(0.5, 1) * strength * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    return radius[:, None] * _unit(angle)


# --- shapes -----------------------------------------------------------------------------------------------------------


def _random_shape(rng: np.random.Generator, canvas: _Canvas, label: int, size: float) -> _Item:
    """A shape at a random place: mostly inside, sometimes over the border."""
    height, width = canvas.owner.shape
    # Over half a box from every border, or one time in four less, so that the border may cut it.
    margin = _SCALE * size * (rng.uniform(0.15, 0.45) if rng.random() < 0.25 else 0.55)
    centre = rng.uniform(margin, np.array([width, height]) - margin)
    return _shape(rng, label, size, centre)


def _shape(rng: np.random.Generator, label: int, size: float, centre: np.ndarray) -> _Item:
    outlines = _OUTLINES[SHAPE_CLASSES[label]](rng)
    lengths = np.cumsum([len(outline) for outline in outlines])[:-1]
    turned = _turn(np.concatenate(outlines), rng, _TILT)
    return _item(label, np.split(turned, lengths), size, centre)


def _turn(points: np.ndarray, rng: np.random.Generator, limit: float) -> np.ndarray:
    """Stretch by a little and turn by at most `limit`, in radians. points: [P, 2]."""
    angle, stretch = rng.uniform(-limit, limit), np.exp(rng.uniform(-0.12, 0.12))
    cos, sin = np.cos(angle), np.sin(angle)
    return (points * (stretch, 1 / stretch)) @ np.array([(cos, sin), (-sin, cos)])


def _item(label: int, outlines: list[np.ndarray], size: float, centre: np.ndarray) -> _Item:
    """Scale outlines so that sqrt(box area) is `size` picture pixels, and fill them (even-odd, so rings have holes)."""
    points = np.concatenate(outlines)
    low, sides = points.min(0), np.ptp(points, axis=0)
    scale = _SCALE * size / np.sqrt(sides.prod())
    width, height = np.ceil(sides * scale).astype(int) + 1
    contours = [((outline - low) * scale).round().astype(np.int32)[:, None] for outline in outlines]
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, contours, 1)
    x, y = (centre - (width / 2, height / 2)).round().astype(int)
    return _Item(label, mask.astype(bool), int(x), int(y), contours)


def _unit(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _arc(start: float, stop: float, radius: float = 1.0) -> np.ndarray:
    return radius * _unit(np.linspace(start, stop, 64))


def _circle(rng: np.random.Generator) -> list[np.ndarray]:
    return [_arc(0, 2 * np.pi)]


def _crescent(rng: np.random.Generator) -> list[np.ndarray]:
    """The unit disc less a disc of the same size shifted to the right."""
    shift = rng.uniform(0.65, 0.95)
    tip = np.arccos(shift / 2)  # where the two circles meet
    inner = _arc(np.pi + tip, np.pi - tip) + np.array([shift, 0])
    return [np.concatenate([_arc(tip, 2 * np.pi - tip), inner])]


def _cross(rng: np.random.Generator) -> list[np.ndarray]:
    a = rng.uniform(0.26, 0.38)
    quarter = np.array([(1, -a), (1, a), (a, a)])
    turn = np.array([(0, 1), (-1, 0)])  # a quarter turn
    return [np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])]


def _heart(rng: np.random.Generator) -> list[np.ndarray]:
    t = np.linspace(0, 2 * np.pi, 64)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([16 * np.sin(t) ** 3, -y], axis=-1) / 17]


def _ring(rng: np.random.Generator) -> list[np.ndarray]:
    return [_arc(0, 2 * np.pi), _arc(0, 2 * np.pi, rng.uniform(0.45, 0.62))]


def _square(rng: np.random.Generator) -> list[np.ndarray]:
    return [_unit(np.pi / 4 + np.arange(4) * np.pi / 2)]


def _star(rng: np.random.Generator) -> list[np.ndarray]:
    radius = np.where(np.arange(10) % 2, rng.uniform(0.38, 0.5), 1.0)
    return [radius[:, None] * _unit(np.arange(10) * np.pi / 5 - np.pi / 2)]


def _triangle(rng: np.random.Generator) -> list[np.ndarray]:
    return [_unit(np.arange(3) * 2 * np.pi / 3 - np.pi / 2)]


_OUTLINES: dict[str, Callable[[np.random.Generator], list[np.ndarray]]] = {
    "circle": _circle,
    "crescent": _crescent,
    "cross": _cross,
    "heart": _heart,
    "ring": _ring,
    "square": _square,
    "star": _star,
    "triangle": _triangle,
}


# --- colour and texture -----------------------------------------------------------------------------------------------


def _paint(rng: np.random.Generator, item: _Item, under: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] for the whole mask: two colours mixed by a texture, light from one side, perhaps an outline."""
    height, width = item.mask.shape
    first, second = _contrasting_colours(rng, under, item.label == _CLUTTER)
    u, v = _rotated_grid(rng, height, width)
    mix = _TEXTURES[rng.integers(len(_TEXTURES))](rng, u, v)[..., None]
    light = 1 + np.float32(rng.uniform(0, 0.25)) * u[..., None]
    paint = _to_bytes((first + (second - first) * mix) * light)
    if rng.random() < 0.6:
        cv2.polylines(paint, item.contours, True, (first * 0.45).tolist(), _SCALE + 1)
    return paint


def _contrasting_colours(rng: np.random.Generator, under: np.ndarray, muted: bool) -> tuple[np.ndarray, np.ndarray]:
    """The colour (of a few drawn) furthest from what is below it, and a variation of it for the texture."""
    below = np.array(cv2.mean(under)[:3] if under.size else (128, 128, 128), np.float32)
    draws = [_muted_colour(rng) if muted else _vivid_colour(rng) for _ in range(3)]
    first = max(draws, key=lambda colour: float(np.abs(colour - below).sum()))
    towards = 255.0 if first.mean() < 120 else 20.0
    second = first + (towards - first) * rng.uniform(0.2, 0.5) + rng.normal(0, 12, 3)
    return first, second.astype(np.float32)


def _vivid_colour(rng: np.random.Generator) -> np.ndarray:
    return _from_hsv(rng.uniform(0, 180), rng.uniform(140, 255), rng.uniform(110, 255))


def _muted_colour(rng: np.random.Generator) -> np.ndarray:
    return _from_hsv(rng.uniform(0, 180), rng.uniform(10, 110), rng.uniform(50, 230))


def _from_hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """float32 [3], BGR 0..255; hue 0..180 as in OpenCV."""
    hsv = np.array([[[hue, saturation, value]]], np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)


def _rotated_grid(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (u, v), each [h, w], -1..1 over the larger side, turned by a random angle."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.ogrid[:height, :width]
    y, x = (y * 2 - height) / max(height, width), (x * 2 - width) / max(height, width)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return u.astype(np.float32), v.astype(np.float32)


def _period(rng: np.random.Generator, u: np.ndarray) -> float:
    """2 to 5 repeats over the object, but never finer than five pixels of the picture."""
    return max(float(rng.uniform(0.4, 1.0)), 2 * 5 * _SCALE / max(u.shape))


def _plain(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.zeros_like(u)


def _stripes(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u / _period(rng, u) % 1 < rng.uniform(0.3, 0.6)).astype(np.float32)


def _checks(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    period = _period(rng, u)
    return ((u / period % 1 < 0.5) ^ (v / period % 1 < 0.5)).astype(np.float32)


def _dots(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    period = _period(rng, u)
    return ((u / period % 1 - 0.5) ** 2 + (v / period % 1 - 0.5) ** 2 < rng.uniform(0.25, 0.38) ** 2).astype(np.float32)


def _gradient(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u + 1) / 2


def _noise(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    cells = np.maximum(2, np.array(u.shape) // int(rng.integers(4, 13)))
    values = rng.random(cells).astype(np.float32)
    return cv2.resize(values, u.shape[::-1], interpolation=cv2.INTER_LINEAR)


_TEXTURES = (_plain, _stripes, _checks, _dots, _gradient, _noise)
