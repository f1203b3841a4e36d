"""Outlines of the embedded data set's shapes and of clutter, as polygons around the origin with a radius of about 1.

outlines = draw_outlines(np.random.default_rng(0), "ring")       # two polygons; filled even-odd, the inner is a hole
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SHAPE_CLASSES = ("circle", "crescent", "cross", "heart", "ring", "square", "star", "triangle")


def draw_outlines(rng: np.random.Generator, name: str) -> list[np.ndarray]:
    """The polygons of one shape, each float64 [P, 2]; proportions vary with `rng`."""
    return _OUTLINES[name](rng)


def turned(points: np.ndarray, rng: np.random.Generator, limit: float) -> np.ndarray:
    """Points [P, 2], stretched a little and rotated by at most `limit` radians."""
    angle, stretch = rng.uniform(-limit, limit), np.exp(rng.uniform(-0.12, 0.12))
    cos, sin = np.cos(angle), np.sin(angle)
    rotated: np.ndarray = (points * (stretch, 1 / stretch)) @ np.array([(cos, sin), (-sin, cos)])
    return rotated


def bar(rng: np.random.Generator) -> np.ndarray:
    """A long rectangle, clutter: no class has this outline."""
    half = rng.uniform(0.1, 0.25)
    return np.array([(-1, -half), (1, -half), (1, half), (-1, half)])


def blob(rng: np.random.Generator) -> np.ndarray:
    """A closed curve whose radius is a random Fourier series of low order, clutter: no class has this outline."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(angle)
    for order, strength in ((2, 0.3), (3, 0.2), (4, 0.1)):
        radius += rng.uniform(0.5, 1) * strength * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    outline: np.ndarray = radius[:, None] * _unit(angle)
    return outline


def _unit(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _arc(start: float, stop: float, radius: float = 1.0) -> np.ndarray:
    points: np.ndarray = radius * _unit(np.linspace(start, stop, 64))
    return points


def _circle(rng: np.random.Generator) -> list[np.ndarray]:
    return [_arc(0, 2 * np.pi)]


def _crescent(rng: np.random.Generator) -> list[np.ndarray]:
    """The unit disc minus a disc of the same size shifted to the right."""
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
