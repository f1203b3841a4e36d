"""resdet predict and `Detector` on images, folders and videos."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import resdet
from helpers.commands import ON_CPU, error_line, predict
from resdet.data.images import read_image


def predictions(out: Path) -> list[dict]:
    written = json.loads((out / "detections.json").read_text())
    assert written["classes"] == ["apple", "pear"]
    for record in written["images"]:
        assert len(record["boxes"]) == len(record["scores"]) == len(record["labels"])
        assert set(record["labels"]) <= {0, 1}
        assert record["scores"] == sorted(record["scores"], reverse=True)
    return written["images"]


def test_predict_draws_and_writes_the_detections_of_an_image(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    arguments = [str(det_config), str(checkpoint), str(photos / "wide.png"), "--out", str(tmp_path / "out"), *ON_CPU]
    predict([*arguments, "--threshold", "0.05"])
    (record,) = predictions(tmp_path / "out")
    assert (record["file"], record["size"]) == (str(photos / "wide.png"), [60, 90])
    assert record["boxes"]
    boxes = np.array(record["boxes"])
    assert boxes.min() >= 0
    assert (boxes <= [90, 60, 90, 60]).all()
    assert read_image(tmp_path / "out" / "wide.png").size
    predict([*arguments, "--threshold", "1.01"])
    assert predictions(tmp_path / "out")[0]["boxes"] == []


def test_predict_never_overwrites_its_source(
    det_config: Path, checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(det_config), str(checkpoint), str(photos), "--out", str(photos), *ON_CPU]
    assert "would overwrite" in error_line(predict, arguments, capsys)


def test_predict_takes_a_folder(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict([str(det_config), str(checkpoint), str(photos), "--out", str(tmp_path / "out"), *ON_CPU])
    records = predictions(tmp_path / "out")
    assert [Path(r["file"]).name for r in records] == ["tall.jpg", "wide.png"]
    assert (tmp_path / "out" / "wide.png").is_file()
    assert (tmp_path / "out" / "deep" / "tall.jpg").is_file()
    assert "2 pictures in" in capsys.readouterr().out


def test_predict_takes_a_video(det_config: Path, checkpoint: Path, tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (96, 64))
    random = np.random.default_rng(2)
    for _ in range(4):
        writer.write(random.integers(0, 256, (64, 96, 3)).astype(np.uint8))
    writer.release()
    arguments = [str(det_config), str(checkpoint), str(source), "--out", str(tmp_path / "out"), *ON_CPU]
    predict([*arguments, "--threshold", "0.05"])
    records = predictions(tmp_path / "out")
    assert [r["frame"] for r in records] == [0, 1, 2, 3]
    assert [r["second"] for r in records] == pytest.approx([0, 0.2, 0.4, 0.6])
    drawn = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert (drawn.get(cv2.CAP_PROP_FRAME_COUNT), drawn.get(cv2.CAP_PROP_FPS)) == (4, 5)
    drawn.release()


def test_predict_names_missing_and_empty_sources(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    out = ["--out", tmp_path / "out", *ON_CPU]
    for source in (tmp_path / "empty", tmp_path / "missing"):
        assert "no image or video" in error_line(predict, [det_config, checkpoint, source, *out], capsys)
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    error = error_line(predict, [det_config, checkpoint, tmp_path / "clip.mp4", *out], capsys)
    assert "clip.mp4: OpenCV cannot open this video" in error


def test_the_python_interface_detects_in_three_lines(det_config: Path, checkpoint: Path, photos: Path) -> None:
    detector = resdet.load_detector(det_config, checkpoint, device="cpu", precision="fp32")
    detections = detector(photos / "wide.png")
    assert detections.boxes.shape == (len(detections), 4)
    assert len(detections) > 0
    assert {detector.classes[k] for k in detections.labels} <= {"apple", "pear"}
    assert (detections.scores.diff() <= 0).all()

    pixels = read_image(photos / "wide.png")
    for same in (pixels, torch.from_numpy(pixels), str(photos / "wide.png")):
        assert torch.equal(detector(same).boxes, detections.boxes)
    together = detector.detect([photos / "deep" / "tall.jpg", pixels])  # one is padded beside the other
    torch.testing.assert_close(together[1].boxes, detections.boxes, rtol=1e-3, atol=1e-2)
    with pytest.raises(resdet.errors.UserError, match=r"expected uint8 \[H, W, 3\]"):
        detector(pixels.astype(np.float32))
