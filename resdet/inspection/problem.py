"""A problem of a data set, and the checks of images and boxes that all formats share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from resdet.data.images import read_image
from resdet.errors import UserError
from resdet.report.progress import progress_bar


class Problem(NamedTuple):
    """One defect of a data set."""

    text: str  # file, object, what to do
    refused: bool  # True: the data set cannot be used until this is corrected; False: a warning, the reader goes on


def decoded_sizes(paths: Sequence[Path]) -> Iterator[tuple[Path, tuple[int, int] | Problem]]:
    """Decode images on all cores.

    Yields:
        Each path, in order, with the (height, width) of its image, or the problem that reading it has.
    """

    def look(path: Path) -> tuple[int, int] | Problem:
        try:
            height, width = read_image(path).shape[:2]
        except UserError as error:
            return Problem(str(error), True)
        return height, width

    console = Console(stderr=True)
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,  # decoding releases the GIL
        progress_bar(pool.map(look, paths), "reading images", len(paths), console) as found,
    ):
        yield from zip(paths, found, strict=True)


def check_boxes(
    where: Callable[[int], str],
    boxes: np.ndarray,
    labels: Sequence[object],
    shown: Sequence[str],
    size: tuple[int, int],
) -> Iterator[Problem]:
    """Check the boxes of one image; readers repair what is found.

    Args:
        where: file and object of the object with this index, for the message.
        boxes: float64 [G, 4], continuous corners.
        labels: class of each box, G.
        shown: each box as written in the file, for the message, G.
        size: (height, width) of the image.

    Yields:
        A problem per box that reaches beyond the image, has no area in it, or repeats another.
    """
    first: dict[tuple[object, ...], int] = {}
    for k, box in enumerate(boxes):
        problem = check_box(where(k), box, shown[k], size)
        if problem is not None:
            yield problem
        before = first.setdefault((labels[k], *box.tolist()), k)
        if before != k:
            yield Problem(f"{where(k)}: box {shown[k]} repeats the one of object {before + 1}; remove one", False)


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
