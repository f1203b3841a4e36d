"""What a shell gives for a variable that is not set, and other values that mean nothing, are refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import error_line, predict, train_det


def test_an_empty_name_is_not_the_default_config_or_the_present_folder(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the config's name is empty" in error_line(train_det, [""], capsys)
    assert "is empty" in error_line(predict, [det_config, checkpoint, "", "--out", tmp_path / "out"], capsys)


@pytest.mark.parametrize("threshold", ["nan", "-0.1", "1.01", "inf", "high", ""])
def test_a_threshold_that_is_no_score_is_refused(
    threshold: str, det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [det_config, checkpoint, photos, f"--threshold={threshold}", "--out", tmp_path / "out"]
    wanted = f"argument --threshold: {threshold!r}; wanted: a number, 0 or more, at most 1"
    assert wanted in error_line(predict, command, capsys)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_cut_short_is_named_as_such(
    checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = tmp_path / "half.pth"
    half.write_bytes(checkpoint.read_bytes()[:3000])
    assert "not a whole weights file" in error_line(predict, [half, photos], capsys)


def test_an_rpn_without_anchors_costs_an_older_run_nothing(
    det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "last.pth").write_bytes(b"an older run's")
    for wrong in ("model.rpn.scales=()", "loop.accumulate=3"):
        error_line(train_det, [det_config, "--work-dir", tmp_path, "--cfg-options", wrong], capsys)
        assert (tmp_path / "last.pth").read_bytes() == b"an older run's"
