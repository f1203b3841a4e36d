"""Writing files below the folder of a dry run, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from resdet.errors import UserError


def below(root: Path, *parts: str | Path) -> Path:
    """Join a path below `root`.

    Raises:
        UserError: the path leaves `root`, as a config with absolute paths can ask for.
    """
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"a dry run writes below its own folder only, not {path}; name files by paths below the root")
    return path


def with_folder(path: Path) -> Path:
    """Return `path` after creating its parent folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Write pixels uint8 [H, W, 3] as a JPEG, whatever the suffix."""
    with_folder(path).write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file; line ends are added."""
    with_folder(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
