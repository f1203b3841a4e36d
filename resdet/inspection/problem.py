"""A problem of a data set, and the check of one box."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """One defect of a data set."""

    text: str  # file, object, what to do
    refused: bool  # True: the data set cannot be read until this is corrected; False: it is repaired and counted


def check_box(where: str, box: np.ndarray, shown: str, size: tuple[int, int]) -> Problem | None:
    """Check whether a box lies inside its image and has area there; readers repair both defects.

    Args:
        where: file and object, for the message.
        box: float64 [4], continuous corners.
        shown: the box as written in the file, for the message.
        size: (height, width) of the image.

    Returns:
        The problem, or None.
    """
    height, width = size
    x1, y1, x2, y2 = clipped = box.clip(0, [width, height, width, height])
    if x2 <= x1 or y2 <= y1:
        return Problem(f"{where}: box {shown} has no area inside the image and is dropped; correct it", False)
    if (clipped != box).any():
        return Problem(f"{where}: box {shown} extends beyond the image and is clipped; correct it", False)
    return None
