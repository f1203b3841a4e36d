"""Files and folders that cannot be written or read as they are meant: one line, exit code 2, before any work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.commands import (
    ON_CPU,
    error_line,
    errors,
    eval_cls,
    eval_voc,
    export,
    inspect_data,
    predict,
    train_cls,
    train_det,
)


@pytest.fixture
def small(det_config: Path, tmp_path: Path) -> list[object]:
    """The arguments of a training of one step."""
    return [det_config, *ON_CPU, "--work-dir", tmp_path / "run", "--cfg-options", "schedule.steps=1"]


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process may not write to."""
    if os.geteuid():
        pytest.skip("root alone may give its rights up and take them back")
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    os.seteuid(65534)
    yield tmp_path
    os.seteuid(0)


def test_a_folder_where_a_file_is_written_is_refused_before_the_training(
    small: list[object], det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [
        (train_det, [*small, "--json", tmp_path]),
        (eval_voc, [det_config, "--checkpoint", checkpoint, "--json", tmp_path]),
    ]
    for command, words in commands:
        assert f"--json: {tmp_path} is a folder; give the name of a file" in error_line(command, words, capsys)
    assert not (tmp_path / "run").exists()


def test_a_file_where_a_folder_is_written_is_refused_before_any_work(
    det_config: Path, cls_config: Path, checkpoint: Path, photos: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "file").touch()
    commands = [
        (train_det, [det_config, "--work-dir"]),
        (train_cls, [cls_config, "--work-dir"]),
        (eval_voc, [det_config, "--checkpoint", checkpoint, "--write-detections"]),
        (predict, [det_config, checkpoint, photos, "--out"]),
        (errors, [det_config, "--checkpoint", checkpoint, "--out"]),
    ]
    for command, words in commands:
        error = error_line(command, [*words, tmp_path / "file"], capsys)
        assert f"{words[-1]}: {tmp_path / 'file'} is a file; give the name of a folder" in error
        error = error_line(command, [*words, tmp_path / "file" / "new"], capsys)
        assert f"would be in {tmp_path / 'file'}, which is a file" in error


def test_a_folder_without_permission_is_refused_before_any_work(
    nobody: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, words in [(train_det, ["shapes_det", "--work-dir"]), (export, [checkpoint, "--out"])]:
        error = error_line(command, [*words, nobody / "new.onnx"], capsys)
        assert f"cannot be written: no permission for {nobody}; choose another folder" in error


def test_an_older_result_that_cannot_be_replaced_is_refused_before_any_work(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new file is written beside the old one, which its own permissions do not show."""
    (tmp_path / "older.json").touch(0o666)
    (tmp_path / "folder").mkdir()
    nobody = request.getfixturevalue("nobody")
    for command, words in [
        (eval_voc, ["none.pth", "--json", nobody / "older.json"]),
        (inspect_data, ["shapes_det", "--out", nobody / "folder"]),
        (inspect_data, ["shapes_det", "--fix", nobody / "mended"]),
        (eval_cls, ["shapes_cls", "--submission", nobody / "answers.txt", "map.txt"]),
    ]:
        error = error_line(command, words, capsys)
        assert str(words[2]) in error
        assert "cannot be written: no permission for " in error


@pytest.mark.parametrize(("name", "resume"), [("run.log", []), ("scalars.json", []), ("last.pth", ["--resume"])])
def test_a_folder_in_the_place_of_a_file_of_the_run_is_named(
    name: str, resume: list[object], small: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / name).mkdir(parents=True)
    error = error_line(train_det, [*small, *resume], capsys)
    assert str(tmp_path / "run" / name) in error
    assert "a folder" in error


def test_a_file_in_the_place_of_a_folder_of_the_run_is_named(
    small: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.pth").write_bytes(b"an older run's")
    (tmp_path / "run" / "older").touch()
    error = error_line(train_det, small, capsys)
    assert f"{tmp_path / 'run' / 'older'}" in error
    assert "a file is where a folder is meant: move it away" in error
    assert (tmp_path / "run" / "last.pth").read_bytes() == b"an older run's"


def test_a_folder_where_a_file_is_read_is_named(
    small: list[object], det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, words in [
        (train_det, [*small, "--resume", tmp_path]),
        (train_det, [*small, "--init-from", tmp_path]),
        (eval_voc, [det_config, "--checkpoint", tmp_path]),
        (train_det, [tmp_path]),
    ]:
        assert f"{tmp_path}" in (error := error_line(command, words, capsys))
        assert "is a folder; " in error


def test_weights_in_a_folder_that_may_not_be_written_to_can_be_tested(
    det_config: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those that a group shares: the log of the test is elsewhere then."""
    weights = tmp_path / "shared" / "weights.pth"
    weights.parent.mkdir()
    weights.write_bytes(checkpoint.read_bytes())
    eval_voc([str(det_config), "--checkpoint", str(weights), *ON_CPU])  # imports what root alone may read here
    before = set(weights.parent.iterdir())
    for folder in (tmp_path, *tmp_path.parents[:3], *(det_config.parent, *det_config.parents[1:3])):
        folder.chmod(0o755)
    weights.parent.chmod(0o555)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "temporary").chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (root := os.geteuid() == 0) and os.seteuid(65534)
    try:
        eval_voc([str(det_config), "--checkpoint", str(weights), *ON_CPU])
    finally:
        root and os.seteuid(0)
    assert set(weights.parent.iterdir()) == before
    assert len(list((tmp_path / "temporary").glob("weights-*/eval.log"))) == 1
