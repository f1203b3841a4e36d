"""Frames of live sources."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from resdet.recipes.detection.pixels import Pixels
from resdet.recipes.detection.video_frames import Frames, Video


class Camera(Frames):
    """Frames of a camera that breaks while it is read."""

    def __init__(self) -> None:
        self.video = Video("0", 0, "camera_0", live=True)
        self.follower = None

    def _read(self) -> Iterator[Pixels]:
        yield np.zeros((4, 6, 3), np.uint8)
        raise MemoryError("no room for a frame")


def test_a_camera_that_breaks_ends_the_frames_with_its_error() -> None:
    with pytest.raises(MemoryError, match="no room for a frame"):
        list(Camera())
