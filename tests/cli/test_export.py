"""`resdet export` writes a file that runs with its script alone, without torch and resdet."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import resdet
from helpers.commands import error_line, export

# Runs a script in an interpreter where neither package can be imported.
ALONE = (
    "import runpy, sys; sys.modules.update(torch=None, resdet=None); sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def test_the_script_answers_as_the_detector(det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    export([str(checkpoint), "--config", str(det_config), "--out", str(tmp_path / "out" / "detector.onnx")])
    photo = next(photos.rglob("*.jpg"))
    command = [sys.executable, "-c", ALONE, tmp_path / "out" / "run_onnx.py", tmp_path / "out" / "detector.onnx", photo]
    command += ["--threshold", "0", "--out", tmp_path / "drawn.png"]
    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=True).stdout
    found = [json.loads(line) for line in answer.splitlines()]
    detector = resdet.load_detector(det_config, checkpoint, device="cpu", precision="fp32")
    expected = detector(photo)
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose([one["score"] for one in found], expected.scores, atol=1e-4)
    first = found[0]
    assert first["class"] == detector.classes[expected.labels[0]]
    np.testing.assert_allclose(first["box"], expected.boxes[0], atol=0.1)
    assert (tmp_path / "drawn.png").is_file()


def test_improvements_of_appendix_b_are_refused(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "scales.py"
    config.write_text(det_config.read_text() + "\ntesting = dict(scales=(48, 64))\n")
    message = error_line(export, [checkpoint, "--config", config, "--out", tmp_path / "d.onnx"], capsys)
    assert "Appendix B's improvements cannot be exported" in message
    assert "'testing.scales=()'" in message


def test_an_int8_file_runs_with_the_same_script(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "int8.onnx"
    export([str(checkpoint), "--config", str(det_config), "--out", str(out), "--int8", str(photos)])
    detector = resdet.load_detector(det_config, checkpoint, device="cpu", precision="fp32")
    weights = sum(value.numel() for value in detector.inference.detectors[0].parameters())
    assert out.stat().st_size < 4 * weights  # bytes; the weights alone have as many in fp32
    command = [sys.executable, "-c", ALONE, out.parent / "run_onnx.py", out, photos / "wide.png", "--threshold", "0"]
    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=True).stdout
    found = [json.loads(line) for line in answer.splitlines()]
    assert len(found) > 0
    assert {one["class"] for one in found} <= set(detector.classes)
    assert found[0]["score"] == pytest.approx(float(detector(photos / "wide.png").scores[0]), abs=0.02)


def test_int8_is_for_detectors_as_onnx_files(
    det_config: Path, checkpoint: Path, cls_config: Path, photos: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = [checkpoint, "--config", det_config, "--int8"]
    message = error_line(export, [*arguments, photos, "--out", tmp_path / "d.safetensors"], capsys)
    assert "--int8 is for .onnx files alone" in message
    message = error_line(export, [*arguments[:-1], "--int8-images", "8", "--out", tmp_path / "d.onnx"], capsys)
    assert "give it too" in message
    (tmp_path / "empty").mkdir()
    message = error_line(export, [*arguments, tmp_path / "empty", "--out", tmp_path / "d.onnx"], capsys)
    assert "no image there to calibrate int8 on" in message
    message = error_line(
        export, ["c.pth", "--config", cls_config, "--out", tmp_path / "c.onnx", "--int8", photos], capsys
    )
    assert "--int8 is for detectors, c.pth is a classifier" in message
