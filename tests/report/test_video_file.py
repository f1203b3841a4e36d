"""Drawn videos: H.264 that browsers play; MPEG-4 where PyAV is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from resdet.report.video_file import VideoFile


def test_a_video_keeps_pictures_times_and_odd_sides(tmp_path: Path) -> None:
    seconds, path = [0.0, 0.04, 0.5, 0.5, 2.0], tmp_path / "a.mp4"
    picture = np.full((65, 97, 3), 40, np.uint8)
    picture[20:40, 30:60] = (200, 30, 30)
    with VideoFile(path, 29.97) as video:
        for second in seconds:
            video.write(picture, second)
    with av.open(str(path)) as found:
        (stream,) = found.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = list(found.decode(stream))
    assert [frame.time for frame in frames] == pytest.approx(seconds, abs=1e-4)
    read = frames[0].to_ndarray(format="rgb24")
    assert read.shape == (66, 98, 3)  # H.264 in yuv420p has even sides
    assert np.abs(read[23:37, 33:57].astype(int) - (200, 30, 30)).max() < 15
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays before all of it has arrived


def test_a_video_is_whole_after_an_error(tmp_path: Path) -> None:
    def write() -> None:
        with VideoFile(tmp_path / "a.mp4", 10.0) as video:
            for i in range(7):
                video.write(np.full((48, 64, 3), 20 * i, np.uint8), i / 10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    with av.open(str(tmp_path / "a.mp4")) as found:
        assert sum(1 for _ in found.decode(video=0)) == 7


def test_without_pyav_the_video_is_mpeg4_and_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with VideoFile(tmp_path / "a.mp4", 5.0) as video:
        video.write(np.zeros((64, 96, 3), np.uint8), 0.0)
    assert "pip install 'resdet[video]'" in caplog.text
    reader = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert reader.read()[0]
