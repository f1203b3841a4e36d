"""What the checks of data sets find: voc_check, coco_check."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """One thing that is wrong with a data set."""

    text: str  # file, object, remedy
    refused: bool  # the set is not read until this is mended; else it is repaired and counted


def check_box(where: str, box: np.ndarray, shown: str, size: tuple[int, int]) -> Problem | None:
    """A box that reaches over its image, or has no area in it; both are repaired.

    Args:
        where: file and object, for the message.
        box: float64 [4], continuous corners.
        shown: the box as the file writes it.
        size: (height, width) of the image.
    """
    height, width = size
    x1, y1, x2, y2 = clipped = box.clip(0, [width, height, width, height])
    if x2 <= x1 or y2 <= y1:
        return Problem(f"{where}: box {shown} has no area inside the image and is dropped; correct it", False)
    if (clipped != box).any():
        return Problem(f"{where}: box {shown} reaches over the image and is clipped; correct it", False)
    return None
