"""resdet predict that was interrupted, goes on, or runs in several processes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch

from helpers.commands import ON_CPU, error_line, predict
from helpers.predictions import predictions
from helpers.processes import run_processes
from resdet.engine.checkpoint import save_checkpoint
from resdet.engine.run_folder import hold


def test_predict_goes_on_with_what_is_missing(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    arguments = [str(det_config), str(checkpoint), str(photos), "--out", str(out), *ON_CPU]
    predict(arguments)
    whole, lines = (out / "detections.json").read_text(), (out / "detections.jsonl").read_text()
    kept = (out / "deep" / "tall.jpg").stat().st_mtime_ns
    # As after a crash: the second line is cut, the file of all is not there.
    (out / "detections.jsonl").write_text(lines[: len(lines) - 9])
    (out / "detections.json").unlink()
    (out / "wide.png").unlink()
    caplog.clear()
    predict(arguments)
    assert "1 of 2 images are done" in caplog.text
    assert (out / "detections.json").read_text() == whole
    assert (out / "detections.jsonl").read_text() == lines
    assert (out / "wide.png").is_file()
    assert (out / "deep" / "tall.jpg").stat().st_mtime_ns == kept
    shutil.copy(photos / "deep" / "tall.jpg", photos / "wide.png")  # another image of the same name
    predict(arguments)
    assert predictions(out)[1]["size"] == [90, 50]


def keep(out: Path, held: Event, done: Event) -> None:
    """Runs in a child process: writes to the folder, as another predict."""
    lock = hold(out, "--out")
    held.set()
    done.wait(60)
    del lock


def test_two_commands_do_not_mix_their_detections(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fork = multiprocessing.get_context("fork")
    held, done = fork.Event(), fork.Event()
    other = fork.Process(target=keep, args=(tmp_path, held, done))
    other.start()
    assert held.wait(60)
    words: list[object] = [det_config, checkpoint, photos, "--out", tmp_path, *ON_CPU]
    error = error_line(predict, words, capsys)
    assert f"is in use by process {other.pid} on" in error
    assert "wait until it ends, or choose another --out" in error
    assert not list(tmp_path.glob("detections*"))
    done.set()
    other.join()
    predict([str(word) for word in words])
    assert len(predictions(tmp_path)) == 2


def test_images_of_an_earlier_command_stay_until_their_picture_is_replaced(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    def files() -> list[str]:
        return [json.loads(line)["file"] for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]

    (tmp_path / "other").mkdir()
    shutil.copy(photos / "wide.png", tmp_path / "other" / "wide.png")
    start, out = [str(det_config), str(checkpoint)], ["--out", str(tmp_path / "out"), *ON_CPU]
    predict([*start, str(photos), *out])
    predict([*start, str(tmp_path / "other"), *out])
    assert [Path(r["file"]) for r in predictions(tmp_path / "out")] == [tmp_path / "other" / "wide.png"]
    assert files() == [str(photos / "deep" / "tall.jpg"), str(tmp_path / "other" / "wide.png")]


def test_predict_refuses_to_mix_detections_of_other_weights_or_settings(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out"), *ON_CPU]
    predict([str(det_config), str(checkpoint), str(photos), *out])
    error = error_line(predict, [det_config, checkpoint, photos, *out, "--threshold", "0.3"], capsys)
    assert "holds detections of --threshold 0.5; choose another folder with --out, or add --overwrite" in error
    error = error_line(predict, [det_config, checkpoint, photos, *out, "--tile", "64"], capsys)
    assert "holds detections of other tiling; choose" in error
    state = torch.load(checkpoint, weights_only=True)
    state["model"]["head.scores.bias"] += 1
    save_checkpoint(tmp_path / "other.pth", {"model": state["model"], "classes": ["apple", "pear"]})
    error = error_line(predict, [det_config, tmp_path / "other.pth", photos, *out], capsys)
    assert "holds detections of other weights" in error
    assert len(predictions(tmp_path / "out")) == 2
    predict([str(det_config), str(tmp_path / "other.pth"), str(photos), *out, "--overwrite"])


def test_ctrl_c_loses_nothing_that_is_done(det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    """SIGINT after the first line; the same command then makes the file that an undisturbed one makes."""
    for i in range(40):
        shutil.copy(photos / "wide.png", photos / f"{i:02d}.png")
    command = [sys.executable, "-m", "resdet", "predict", str(det_config), str(checkpoint), str(photos), *ON_CPU]
    out = tmp_path / "out"
    running = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lines = out / "detections.jsonl"
    try:
        until = time.monotonic() + 120
        while not (lines.exists() and lines.read_text().count("\n") > 2):
            assert running.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        error = running.communicate(timeout=120)[1]
    finally:
        running.kill()
    assert running.returncode == 130
    assert "of 42 images are done; the same command goes on" in error
    before = lines.read_text()
    assert 2 < before.count("\n") < 42
    predict([*command[4:], "--out", str(out)])
    assert lines.read_text().startswith(before)
    assert len(predictions(out)) == 42


def test_several_processes_share_the_images_and_go_on_with_what_is_missing(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    for i in range(7):
        shutil.copy(photos / "wide.png", photos / f"{i}.png")
    start, alone, out = [str(det_config), str(checkpoint), str(photos)], tmp_path / "alone", tmp_path / "out"
    predict([*start, "--out", str(alone), *ON_CPU])
    run_processes(2, "predict", *start, "--out", out)
    for name in ("detections.json", "detections.jsonl", "predict.json"):
        assert (out / name).read_text() == (alone / name).read_text()
    # As after an interruption: each process has written some lines of its own, the last one is cut.
    lines = (out / "detections.jsonl").read_text().splitlines(keepends=True)
    (out / "detections.json").unlink()
    (out / "detections.jsonl").write_text("")
    (out / "detections.part0.jsonl").write_text("".join(lines[:5:2]))
    (out / "detections.part1.jsonl").write_text(lines[1] + lines[3][:20])
    kept = (out / lines_picture(lines[1])).stat().st_mtime_ns
    run_processes(2, "predict", *start, "--out", out)
    assert (out / "detections.json").read_text() == (alone / "detections.json").read_text()
    assert (out / lines_picture(lines[1])).stat().st_mtime_ns == kept
    assert not list(out.glob("*.part*"))


def lines_picture(line: str) -> str:
    return json.loads(line)["picture"]
