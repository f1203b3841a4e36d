"""Writing a drawn data set: its folder appears complete, and is drawn again when arguments or the generator change."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from resdet.errors import UserError

GENERATOR_VERSION = 1  # raise it whenever the pictures change: existing folders are then drawn again

_MANIFEST = "shapes_manifest.json"
_JPEG_QUALITY = 92
_ATTEMPTS = 30  # at moving a set to its place while other processes do the same

logger = logging.getLogger("resdet")


def publish(target: Path, asked: dict[str, Any], draw: Callable[[Path], None]) -> None:
    """Draw a data set into a temporary folder and move it to `target`, unless `target` has it already.

    Several processes may do so at once: each sees a complete folder.

    Args:
        target: folder of the set.
        asked: the arguments that it is drawn with, as JSON; an existing set of other arguments is replaced.
        draw: called with an empty folder, which it fills.

    Raises:
        UserError: `target` exists but was not drawn by resdet, or cannot be written.
    """
    if _is_current(target, asked):
        return
    logger.info("drawing %s once, which takes seconds", target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".drawing-", dir=target.parent) as temporary:
            fresh = Path(temporary) / "fresh"
            fresh.mkdir()
            draw(fresh)
            (fresh / _MANIFEST).write_text(json.dumps(asked))
            _move_into_place(fresh, target, asked)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror}); choose another folder") from None


def _move_into_place(fresh: Path, target: Path, asked: dict[str, Any]) -> None:
    """Move a complete set; one that another process has put there meanwhile is kept if equal, else moved away."""
    for attempt in range(_ATTEMPTS):
        try:
            os.replace(fresh, target)
            return
        except OSError:
            if not target.exists() or attempt == _ATTEMPTS - 1:
                raise
        if _is_current(target, asked):
            return
        old = fresh.with_name(f"old-{attempt}")  # removed with the temporary folder
        try:
            os.replace(target, old)
        except FileNotFoundError:
            continue


def _is_current(target: Path, asked: dict[str, Any]) -> bool:
    """Whether `target` was drawn with the arguments `asked`; a folder that was not drawn here is refused."""
    found = _arguments_of(target)
    if found is None and (target.is_file() or (target.is_dir() and os.listdir(target))):
        found = _arguments_of(target)  # another process may have moved its set there since the first look
        if found is None:
            raise UserError(
                f"{target}: exists and is not the embedded data set, which would replace it; choose another folder"
            )
    return found == asked


def _arguments_of(target: Path) -> dict[str, Any] | None:
    """The arguments that `target` was drawn with; None if it was not drawn here, or does not exist."""
    try:
        found = json.loads((target / _MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("drawn_by") == "resdet" else None


def write_jpeg(path: Path, pixels: np.ndarray) -> None:
    """Write pixels uint8 [H, W, 3], BGR; equal pixels give equal bytes."""
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    path.write_bytes(encoded.tobytes())
