"""The frames of a video file, a webcam or a stream, by OpenCV.

video = find_video(["street.mp4"])        # also ["0"], the first webcam, and ["rtsp://camera/live"]
for second, frame in Frames(video):
    ...
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import cv2
import numpy as np

from resdet.data.image_files import is_image_name
from resdet.engine.kept_config import SUFFIXES
from resdet.errors import UserError
from resdet.recipes.detection.pixels import Pixels

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
LIVE = ("rtsp", "rtsps", "rtmp", "rtp", "udp")  # schemes of streams that do not wait
WAITING = ("http", "https")
FRAME_RATE = 25.0  # where none is stated


@dataclass(frozen=True)
class Video:
    """Where frames come from.

    Args:
        text: as the user gave it.
        source: a path or URL, or the number of a webcam.
        name: of the drawn video, without suffix.
        live: whether frames that are not read in time are lost.
    """

    text: str
    source: str | int
    name: str
    live: bool


def find_video(inputs: Sequence[str]) -> Video | None:
    """The video among the inputs; None if there is none.

    Raises:
        UserError: there are other inputs beside it, or it is an image's URL.
    """
    found = [video for video in map(_video, inputs) if video is not None]
    if found and len(inputs) > 1:
        raise UserError(f"{found[0].text}: give a video alone; several take one command each")
    return found[0] if found else None


def is_stream(text: str) -> bool:
    """Whether a text is the URL of a stream, and not that of weights."""
    scheme = urlsplit(text).scheme.lower() if "://" in text else ""
    return scheme in LIVE + WAITING and PurePosixPath(urlsplit(text).path).suffix not in SUFFIXES


def _video(text: str) -> Video | None:
    path = Path(text)
    if path.suffix.lower() in VIDEOS and path.exists():
        return Video(text, text, path.stem, live=False)
    if text.isascii() and text.isdecimal() and not path.exists():
        return Video(text, int(text), f"camera_{text}", live=True)
    if not is_stream(text):
        return None
    end = PurePosixPath(urlsplit(text).path)
    if is_image_name(end):
        raise UserError(f"{text}: images are not fetched; download it and give the file")
    return Video(text, text, re.sub(r"[^\w-]", "_", end.stem) or "stream", live=urlsplit(text).scheme.lower() in LIVE)


class Frames:
    """An opened video; iterate over it, and close it.

    Args:
        video: where frames come from.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, video: Video) -> None:
        self.video = video
        self.reader = cv2.VideoCapture(video.source)
        if not self.reader.isOpened():
            raise UserError(f"{video.text}: OpenCV cannot open this video; {_remedy(video)}")
        rate, count = self.reader.get(cv2.CAP_PROP_FPS), int(self.reader.get(cv2.CAP_PROP_FRAME_COUNT))
        self.rate = rate if 0 < rate <= 1000 else FRAME_RATE  # frames per second
        self.count = count if count > 0 and not video.live else None  # of frames; None: not known
        self.follower: _Newest | None = None

    def __iter__(self) -> Iterator[tuple[float, Pixels]]:
        """Yield each frame's time in seconds and its pixels; of a live source the newest frame, as time allows."""
        if not self.video.live:
            yield from ((number / self.rate, frame) for number, frame in enumerate(self._read()))
            return
        self.follower = _Newest(self._read())
        yield from self.follower

    def close(self) -> None:
        """Close the file or the connection, unless a thread still waits for a frame of it."""
        if self.follower is None or self.follower.stop():
            self.reader.release()

    def _read(self) -> Iterator[Pixels]:
        while True:
            ok, frame = self.reader.read()  # BGR
            if not ok:
                return
            yield np.ascontiguousarray(frame[:, :, ::-1])


class _Newest:
    """The newest of frames that come whether they are read or not: a thread reads all and keeps the last."""

    def __init__(self, frames: Iterator[Pixels]) -> None:
        self.frames = frames
        self.changed = threading.Condition()
        self.newest: tuple[float, Pixels] | None = None
        self.ended = False
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()

    def __iter__(self) -> Iterator[tuple[float, Pixels]]:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.newest is not None or self.ended)
                found, self.newest = self.newest, None
            if found is not None:
                yield found
            elif self.error is not None:
                raise self.error
            else:
                return

    def stop(self) -> bool:
        """Let the thread end after the frame that it is waiting for; returns whether it has, within a second."""
        self.ended = True
        self.thread.join(timeout=1)
        return not self.thread.is_alive()

    def _follow(self) -> None:
        try:
            self._keep_newest()
        except Exception as error:  # raised where the frames are read
            self.error = error
        with self.changed:
            self.ended = True
            self.changed.notify()

    def _keep_newest(self) -> None:
        started: float | None = None
        for frame in self.frames:
            now = time.monotonic()
            started = now if started is None else started
            with self.changed:
                self.newest = (now - started, frame)
                self.changed.notify()
            if self.ended:
                return


def _remedy(video: Video) -> str:
    if isinstance(video.source, int):
        return "is a webcam of this number there, and may you read it?"
    if "://" in video.text:
        return "does the address play in another program, such as ffplay or VLC?"
    return "convert it to mp4 (H.264)"
