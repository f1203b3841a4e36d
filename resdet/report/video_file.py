"""Write pictures as a video: H.264 by PyAV, which browsers play; without PyAV MPEG-4 by OpenCV, which most do not.

with VideoFile(Path("drawn.mp4"), rate=25.0) as video:
    video.write(picture, second=0.0)
"""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from resdet.report.canvas import Image

CLOCK = 90_000  # ticks per second of the times in the file, as usual in MPEG
CRF = 20  # x264's constant quality: 0 is without loss, 23 its default; thin lines and letters need more than film

logger = logging.getLogger("resdet")


class VideoFile:
    """An mp4 file; use it in a `with` block, whose end makes it whole, also after an error.

    Args:
        path: of the file.
        rate: frames per second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self.file: _H264 | _MPEG4 | None = None

    def write(self, picture: Image, second: float) -> None:
        """Add a picture, uint8 [H, W, 3] RGB, all of one size; `second` is when it is shown, from 0 and rising."""
        if self.file is None:
            self.file = _open(self.path, self.rate, picture.shape[0], picture.shape[1])
        self.file.write(picture, second)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *error: object) -> None:
        if self.file is not None:
            self.file.close()


def _open(path: Path, rate: float, height: int, width: int) -> _H264 | _MPEG4:
    try:
        import av
    except ImportError:
        what = "PyAV is not installed"
    else:
        if "libx264" in av.codecs_available:
            return _H264(av, path, rate, height, width)
        what = "this PyAV has no libx264"
    logger.warning("%s: MPEG-4, which browsers do not play, because %s: pip install 'resdet[video]'", path, what)
    return _MPEG4(path, rate, height, width)


class _H264:
    """Written by PyAV; a picture keeps its own time."""

    def __init__(self, av: Any, path: Path, rate: float, height: int, width: int) -> None:
        self.av = av
        # The index comes first, so that a browser plays before it has all of the file.
        self.container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self.stream = self.container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        self.stream.options = {"crf": str(CRF)}
        self.stream.pix_fmt = "yuv420p"  # the only form that all browsers play; it needs even sides
        self.stream.height, self.stream.width = height + height % 2, width + width % 2
        self.stream.codec_context.time_base = Fraction(1, CLOCK)
        self.last = -1  # time of the last picture

    def write(self, picture: Image, second: float) -> None:
        height, width = picture.shape[:2]
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self.av.VideoFrame.from_ndarray(even, format="rgb24")
        self.last = frame.pts = max(round(second * CLOCK), self.last + 1)
        frame.time_base = Fraction(1, CLOCK)
        self.container.mux(self.stream.encode(frame))

    def close(self) -> None:
        self.container.mux(self.stream.encode(None))
        self.container.close()


class _MPEG4:
    """Written by OpenCV, at a constant rate."""

    def __init__(self, path: Path, rate: float, height: int, width: int) -> None:
        self.writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))

    def write(self, picture: Image, second: float) -> None:
        self.writer.write(np.ascontiguousarray(picture[:, :, ::-1]))

    def close(self) -> None:
        self.writer.release()
