"""Pixel types, colours, fonts and resizing, for drawings and sheets of pictures."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # [H, W, 3], RGB
Colour = tuple[int, int, int]  # RGB, 0..255

PAPER: Colour = (255, 255, 255)
INK: Colour = (31, 41, 51)
FONT = cv2.FONT_HERSHEY_SIMPLEX


@cache
def class_colour(index: int) -> Colour:
    """The RGB colour of class `index`, the same in every picture and plot.

    Hues are a golden angle apart, so that the first n are well spread for any n, with three lightnesses in turn. The
    colour space is OKLCH, in which equal steps look equal (Ottosson 2020, "A perceptual color space for image
    processing").
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


def text_colour(background: Colour) -> Colour:
    """Black or white, whichever has more contrast: by WCAG 2's relative luminance both are equal at 0.179."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


def font_of(text_height: float) -> tuple[float, int]:
    """OpenCV's font scale and line thickness for capitals of `text_height` pixels, measured on the installed font."""
    (_, unit), _ = cv2.getTextSize("A", FONT, 1.0, 1)
    return text_height / unit, max(1, round(text_height / 14))


def shorten(name: str, suffix: str, limit: int, size: float, thickness: int) -> str:
    """`name` + `suffix`, with the name cut until both fit into `limit` pixels."""
    text = name + suffix
    while cv2.getTextSize(text, FONT, size, thickness)[0][0] > limit and name:
        name = name[:-1]
        text = f"{name}..{suffix}"
    return text


def resize(image: Image, height: int, width: int) -> Image:
    """The image at another size: averaged over areas if it shrinks, cubic if it grows."""
    if image.shape[:2] == (height, width):
        return image
    smaller = height < image.shape[0]
    result: Image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return result


def _srgb(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    value = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * value)
