"""resdet predict on videos and streams."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from helpers.commands import ON_CPU, error_line, predict
from helpers.file_server import FileServer, serve
from helpers.predictions import predictions
from helpers.processes import free_port


def test_predict_draws_a_video_that_browsers_play(
    det_config: Path, checkpoint: Path, clip: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [str(det_config), str(checkpoint), str(clip), "--out", str(out), *ON_CPU]
    for _ in range(2):  # a second time it is made anew
        predict([*arguments, "--threshold", "0.05"])
        records = predictions(out)
        assert [r["frame"] for r in records] == [0, 1, 2, 3]
        assert [r["second"] for r in records] == pytest.approx([0, 0.2, 0.4, 0.6])
        assert [json.loads(line) for line in (out / "detections.jsonl").read_text().splitlines()] == records
    with av.open(str(out / "clip.mp4")) as drawn:
        (stream,) = drawn.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 5)
        frames = list(drawn.decode(stream))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.2, 0.4, 0.6])
    assert f"4 frames in {out / 'clip.mp4'}, detections in" in capsys.readouterr().out
    error = error_line(predict, [*arguments, "--save-annotations", "voc"], capsys)
    assert "--save-annotations is for images" in error
    predict([str(det_config), str(checkpoint), str(photos), "--out", str(tmp_path / "images"), *ON_CPU])
    error = error_line(predict, [det_config, checkpoint, clip, "--out", tmp_path / "images", *ON_CPU], capsys)
    assert "holds detections of images" in error
    (tmp_path / "images" / "detections.jsonl").rename(tmp_path / "images" / "detections.part1.jsonl")  # of torchrun
    error = error_line(predict, [det_config, checkpoint, clip, "--out", tmp_path / "images", *ON_CPU], capsys)
    assert "holds detections of images" in error
    assert (tmp_path / "images" / "detections.part1.jsonl").is_file()


def test_predict_follows_a_stream(
    det_config: Path, checkpoint: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, out = "/live/clip.mp4?token=1", tmp_path / "out"
    with serve(FileServer({address: clip.read_bytes()}, content_type="video/mp4")) as server:
        predict([str(det_config), str(checkpoint), f"{server.url}{address}", "--out", str(out), *ON_CPU])
        assert len(predictions(out)) == 4
        assert (out / "clip.mp4").is_file()
        start, options = [det_config, checkpoint], ["--out", out, *ON_CPU]
        error = error_line(predict, [*start, f"{server.url}/none.mp4", *options], capsys)
        assert "does the address play in another program" in error
        assert "download it" in error_line(predict, [*start, f"{server.url}/a.jpg", *options], capsys)
    assert "is a webcam of this number there" in error_line(predict, [*start, "97", *options], capsys)


def test_ctrl_c_ends_a_live_stream_with_whole_files(det_config: Path, checkpoint: Path, tmp_path: Path) -> None:
    """UDP has no end: the stream is followed until a signal, and what does not fit in time is left out."""
    out, url = tmp_path / "out", f"udp://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "resdet", "predict", str(det_config), str(checkpoint), url, *ON_CPU]
    running = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True)
    lines, random = out / "detections.jsonl", np.random.default_rng(3)
    try:
        with av.open(f"{url}?pkt_size=1316", "w", format="mpegts") as sender:
            stream = sender.add_stream("mpeg4", rate=20)
            stream.width, stream.height, stream.gop_size = 96, 64, 5
            until = time.monotonic() + 120
            while not (lines.exists() and lines.read_text().count("\n") > 2):
                assert running.poll() is None
                assert time.monotonic() < until
                picture = random.integers(0, 256, (64, 96, 3)).astype(np.uint8)
                sender.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            error = running.communicate(timeout=120)[1]
    finally:
        running.kill()
    assert running.returncode == 130
    records = predictions(out)
    (drawn,) = out.glob("*.mp4")
    assert f"interrupted: {len(records)} frames are in {drawn}" in error
    with av.open(str(drawn)) as video:
        assert sum(1 for _ in video.decode(video=0)) == len(records) > 2
    assert [r["second"] for r in records] == sorted({r["second"] for r in records})


def test_videos_and_earlier_outputs_in_a_folder_are_told_and_left_out(
    det_config: Path,
    checkpoint: Path,
    photos: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = [str(det_config), str(checkpoint)]
    predict([*start, str(photos / "wide.png"), "--out", str(photos / "drawn"), *ON_CPU])
    for name in ("b.mp4", "a.MOV", ".hidden.mp4"):
        (photos / name).write_bytes(b"a video")
    (photos / "film").mkdir()
    for name in ("film.mp4", "detections.json", "detections.jsonl"):  # a drawn video is no new one
        (photos / "film" / name).write_bytes(b"")
    for inputs in (photos, photos / "*"):
        caplog.clear()
        predict([*start, str(inputs), "--out", str(tmp_path / "out"), *ON_CPU])
        assert [Path(r["file"]).name for r in predictions(tmp_path / "out")] == ["tall.jpg", "wide.png"]
        assert f"2 videos were left out (first: {photos / 'a.MOV'}): a video is given alone" in caplog.text
        assert f"{photos / 'drawn'}: what predict has drawn there was left out" in caplog.text
    caplog.clear()
    predict([*start, str(photos / "drawn"), "--out", str(tmp_path / "asked"), *ON_CPU])
    assert [Path(r["file"]) for r in predictions(tmp_path / "asked")] == [photos / "drawn" / "wide.png"]
    assert "left out" not in caplog.text
    error = error_line(predict, [*start, photos / "*.mp4", *ON_CPU], capsys)
    assert f"no image there, but videos; give one alone, by its name: {photos / 'b.mp4'}" in error


def test_a_stream_that_cannot_be_opened_leaves_no_folder(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.mp4").write_bytes(b"no video")
    for source in (tmp_path / "cut.mp4", "rtsp://127.0.0.1:9/live"):
        words = [det_config, checkpoint, source, "--out", tmp_path / "out", *ON_CPU]
        assert str(source) in error_line(predict, words, capsys)
    assert not (tmp_path / "out").exists()


def test_a_cut_video_is_told(
    det_config: Path, checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 5, (96, 64))
    for frame in np.random.default_rng(0).integers(0, 256, (12, 64, 96, 3), np.uint8):
        writer.write(frame)
    writer.release()
    words = [str(det_config), str(checkpoint), str(video), *ON_CPU, "--out"]
    predict([*words, str(tmp_path / "whole")])
    assert "could be read" not in caplog.text
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    predict([*words, str(tmp_path / "cut")])
    assert "of about 12 frames could be read; is the file whole?" in caplog.text
