"""Colours and textures of the embedded data set's shapes; they are independent of the class.

paint = draw_paint(rng, (40, 60), contours, under, muted=False)       # uint8 [40, 60, 3]
"""

from __future__ import annotations

import cv2
import numpy as np

SCALE = 2  # pictures are painted larger by this factor, then averaged down


def draw_paint(
    rng: np.random.Generator, size: tuple[int, int], contours: list[np.ndarray], under: np.ndarray, muted: bool
) -> np.ndarray:
    """Two colours mixed by a texture, with light from one side and in 6 of 10 cases a dark outline.

    Args:
        rng: of the picture.
        size: (height, width) in enlarged pixels.
        contours: polygons of the outline, int32 [P, 1, 2] each.
        under: the pixels that are painted over, uint8 [h, w, 3]; the paint contrasts with them.
        muted: use colours of low saturation, as clutter has.

    Returns:
        uint8 [height, width, 3], BGR.
    """
    height, width = size
    first, second = _contrasting_colours(rng, under, muted)
    u, v = _rotated_grid(rng, height, width)
    mix = _TEXTURES[rng.integers(len(_TEXTURES))](rng, u, v)[..., None]
    light = 1 + np.float32(rng.uniform(0, 0.25)) * u[..., None]
    paint = to_bytes((first + (second - first) * mix) * light)
    if rng.random() < 0.6:
        cv2.polylines(paint, contours, True, (first * 0.45).tolist(), SCALE + 1)
    return paint


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Clip float values to 0..255, in place, and convert to uint8."""
    return values.clip(0, 255, out=values).astype(np.uint8)


def muted_colour(rng: np.random.Generator) -> np.ndarray:
    """A colour of low saturation, float32 [3], BGR, 0..255."""
    return _from_hsv(rng.uniform(0, 180), rng.uniform(10, 110), rng.uniform(50, 230))


def _contrasting_colours(rng: np.random.Generator, under: np.ndarray, muted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Of three drawn colours the one that differs most from what is below it, and a variation for the texture."""
    below = np.array(cv2.mean(under)[:3] if under.size else (128, 128, 128), np.float32)
    draws = [muted_colour(rng) if muted else _vivid_colour(rng) for _ in range(3)]
    first = max(draws, key=lambda colour: float(np.abs(colour - below).sum()))
    towards = 255.0 if first.mean() < 120 else 20.0
    second = first + (towards - first) * rng.uniform(0.2, 0.5) + rng.normal(0, 12, 3)
    return first, second.astype(np.float32)


def _vivid_colour(rng: np.random.Generator) -> np.ndarray:
    return _from_hsv(rng.uniform(0, 180), rng.uniform(140, 255), rng.uniform(110, 255))


def _from_hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """float32 [3], BGR, 0..255; the hue is 0..180 as in OpenCV."""
    hsv = np.array([[[hue, saturation, value]]], np.uint8)
    colour: np.ndarray = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0]
    return colour.astype(np.float32)


def _rotated_grid(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates u and v, float32 [h, w], from -1 to 1 along the longer side, rotated by a random angle."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.ogrid[:height, :width]
    y, x = (y * 2 - height) / max(height, width), (x * 2 - width) / max(height, width)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return u.astype(np.float32), v.astype(np.float32)


def _period(rng: np.random.Generator, u: np.ndarray) -> float:
    """A period for 2 to 5 repetitions over the object, at least five pixels of the picture."""
    return max(float(rng.uniform(0.4, 1.0)), float(2 * 5 * SCALE / max(u.shape)))


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
    smooth: np.ndarray = cv2.resize(values, u.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return smooth


_TEXTURES = (_plain, _stripes, _checks, _dots, _gradient, _noise)
