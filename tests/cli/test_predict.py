"""resdet predict and `Detector` on images and folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import resdet
from helpers.commands import ON_CPU, error_line, error_of, predict
from helpers.predictions import predictions
from resdet.data.images import read_image
from resdet.errors import UserError
from resdet.recipes.detection.predict import PredictOptions


def test_predict_draws_and_writes_the_detections_of_an_image(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    best, drawn = record["scores"][0], (tmp_path / "out" / "wide.png").read_bytes()
    capsys.readouterr()
    predict([*arguments, "--threshold", "1", "--overwrite"])
    assert predictions(tmp_path / "out")[0]["boxes"] == []
    assert predictions(tmp_path / "out")[0]["best_score"] == best
    assert f"nothing with a score of 1 or more in 1 of them; the best has {best:.2f}" in capsys.readouterr().out
    assert (tmp_path / "out" / "wide.png").read_bytes() != drawn


def test_predict_never_overwrites_its_source(
    det_config: Path, checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(det_config), str(checkpoint), str(photos), "--out", str(photos), *ON_CPU]
    assert "would overwrite" in error_line(predict, arguments, capsys)


def test_a_runs_folder_in_the_place_of_its_checkpoint_is_told(
    checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(checkpoint, tmp_path / "run/last.pth")
    error = error_line(predict, [tmp_path / "run", photos, *ON_CPU], capsys)
    assert f"give its checkpoint, {tmp_path / 'run' / 'last.pth'}" in error


def test_predict_takes_a_folder(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict([str(det_config), str(checkpoint), str(photos), "--out", str(tmp_path / "out"), *ON_CPU])
    records = predictions(tmp_path / "out")
    assert [Path(r["file"]).name for r in records] == ["tall.jpg", "wide.png"]
    assert (tmp_path / "out" / "wide.png").is_file()
    assert (tmp_path / "out" / "deep" / "tall.jpg").is_file()
    assert "2 pictures in" in capsys.readouterr().out


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


def test_an_unreadable_image_is_named_and_left_out_and_hidden_files_are_no_images(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "broken.jpg").write_bytes(b"not an image")
    (photos / "._wide.png").write_bytes(b"macOS writes this")
    command = [sys.executable, "-m", "resdet", "predict", det_config, checkpoint, photos, "--out", tmp_path / "out"]
    ended = subprocess.run([*map(str, command), *ON_CPU], capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"1 of 3 images could not be read and were left out (first: {photos / 'broken.jpg'})" in ended.stderr
    assert [Path(r["file"]).name for r in predictions(tmp_path / "out")] == ["tall.jpg", "wide.png"]
    (bad,) = json.loads((tmp_path / "out" / "detections.json").read_text())["unreadable"]
    assert bad["file"] == str(photos / "broken.jpg")
    assert "not an image" in bad["reason"]
    lines = (tmp_path / "out" / "detections.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == predictions(tmp_path / "out")


def test_predict_takes_several_inputs_and_patterns_and_keeps_images_of_one_name_apart(
    checkpoint: Path, det_config: Path, photos: Path, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(photos / "wide.png", tmp_path / folder / "a.png")
        shutil.copy(photos / "wide.png", tmp_path / folder / "a.bmp")
    inputs = [tmp_path / "one", tmp_path / "two" / "*.png", photos / "deep" / "tall.jpg", tmp_path / "one" / "a.png"]
    predict([str(det_config), str(checkpoint), *map(str, inputs), "--out", str(tmp_path / "out"), *ON_CPU])
    assert len(predictions(tmp_path / "out")) == 4
    out = tmp_path / "out"
    drawn = {p.relative_to(out).as_posix() for p in out.rglob("*.*") if p.suffix not in ("", ".json")}
    assert drawn == {"a.png", "a.bmp", "two/a.png", "tall.jpg", "detections.jsonl"}


def test_tiles_that_make_no_sense_are_refused_before_weights_are_read(
    det_config: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = [det_config, tmp_path / "none.pth", photos, *ON_CPU]
    assert "give --tile too" in error_line(predict, [*start, "--overlap", "0.3"], capsys)
    error = error_line(predict, [*start, "--tile", "1", "--overlap", "0.9"], capsys)
    assert "a tile's side of 1 (--tile): give at least 64 pixels; smaller tiles show hardly an object whole" in error
    for overlap in ("-0.1", "nan", "0.95"):
        error = error_of(predict, [*start, "--tile", "64", f"--overlap={overlap}"], capsys)
        assert "at most 0.9" in error


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


def test_a_folder_of_drawn_pictures_alone_is_told(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = [str(det_config), str(checkpoint)]
    predict([*start, str(photos / "wide.png"), "--out", str(tmp_path / "old/drawn"), *ON_CPU])
    error = error_line(predict, [*start, tmp_path / "old", "--out", tmp_path / "new", *ON_CPU], capsys)
    assert "no image there but what predict has drawn; give that folder itself to detect in it" in error
    assert not (tmp_path / "new").exists()


def test_annotations_of_another_form_are_refused() -> None:
    with pytest.raises(UserError, match="annotations"):
        PredictOptions(annotations="VOC")  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    words = [det_config, checkpoint, tmp_path / "pipe.jpg", "--out", tmp_path / "out", *ON_CPU]
    assert "pipe.jpg: is no regular file (a pipe or a device)" in error_line(predict, words, capsys)
