"""User errors end with exit code 2 and one line on stderr."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.commands import (
    ON_CPU,
    Main,
    benchmark,
    error_line,
    eval_cls,
    eval_voc,
    inspect_data,
    plot_errors,
    predict,
    train_cls,
    train_det,
)
from helpers.paths import ROOT
from resdet.cli.main import main


@pytest.mark.parametrize("command", [train_cls, train_det, inspect_data, benchmark])
def test_an_unknown_config_gives_a_one_line_error(command: Main, capsys: pytest.CaptureFixture[str]) -> None:
    error = error_line(command, ["voc08_r50"], capsys)
    assert "no config 'voc08_r50'" in error
    assert "voc07_r50" in error


def test_tools_end_with_code_2_and_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "train_cls.py"), "nothing_of_this_name"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no config 'nothing_of_this_name'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        (train_cls, ["shapes_cls", "--wrok-dir", "x"], "no option --wrok-dir (did you mean --work-dir?)"),
        (train_det, ["--percision=bf16", "shapes_det"], "no option --percision (did you mean --precision?)"),
        (eval_voc, ["--qqq"], "no option --qqq; 'resdet eval-voc --help'"),
        (plot_errors, ["runs/a", "--otu", "x.png"], "no option --otu (did you mean --out?)"),  # not: --out is required
        (train_det, ["shapes_det", "more"], "unrecognized arguments: more; 'resdet train-det --help'"),
        (train_det, ["--precision", "fp8"], "argument --precision: invalid choice: 'fp8' (choose from"),
        (train_det, ["--cfg-options", "schedule.steps"], "argument --cfg-options: 'schedule.steps' is not of the form"),
        (eval_cls, ["shapes_cls"], "which weights? give --checkpoint"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line_with_the_nearest_option(
    command: Main, words: list[object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_line(command, words, capsys)


@pytest.mark.parametrize(
    ("word", "message"),
    [("trian-det", "no command trian-det (did you mean train-det"), ("--job", "no option --job; 'resdet --help'")],
)
def test_an_unknown_command_is_one_line_with_the_nearest_one(
    word: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_line(main, [word], capsys)


def test_an_unknown_option_gives_a_one_line_error(
    cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [cls_config, "--work-dir", tmp_path / "run", "--cfg-options", "schedule.stepz=3"]
    assert "--cfg-options schedule.stepz: there is no 'stepz' (did you mean steps?)" in error_line(
        train_cls, arguments, capsys
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["--resume", "--init-from"])
def test_an_unreadable_checkpoint_gives_a_one_line_error(
    option: str, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.pth").write_text("hello world")
    arguments = [cls_config, "--work-dir", tmp_path / "run", *ON_CPU, option, tmp_path / "bad.pth"]
    assert "bad.pth" in error_line(train_cls, arguments, capsys)
    arguments[-1] = tmp_path / "none.pth"
    assert "none.pth" in error_line(train_cls, arguments, capsys)


def test_predict_names_an_unreadable_checkpoint_and_the_wrong_config(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.pth").write_bytes(checkpoint.read_bytes()[:5000])
    assert "bad.pth" in error_line(predict, [det_config, tmp_path / "bad.pth", tmp_path], capsys)
    error = error_line(predict, ["shapes_det", checkpoint, tmp_path], capsys)
    assert "has 2 classes" in error
    assert "has 8" in error


def test_fp16_on_a_cpu_gives_a_one_line_error(
    cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [cls_config, "--work-dir", tmp_path / "run", "--device", "cpu", "--precision", "fp16"]
    assert "--precision fp16 needs a GPU" in error_line(train_cls, arguments, capsys)


def test_a_head_with_other_classes_than_the_data_gives_a_one_line_error(
    det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [det_config, "--work-dir", tmp_path / "run", *ON_CPU, "--cfg-options", "model.num_classes=3"]
    assert "set model.num_classes=2" in error_line(train_det, arguments, capsys)
