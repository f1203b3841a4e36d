"""Run commands as users do, and catch their error messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resdet.cli.main import main

Main = Callable[[list[str]], None]
ON_CPU = ["--device", "cpu", "--precision", "fp32"]


def call(main: Main, *arguments: object) -> None:
    """Run a command with these arguments."""
    main([str(a) for a in arguments])


def error_of(main: Main, arguments: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    """The text on stderr of a command that must exit with code 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    assert caught.value.code == 2
    return capsys.readouterr().err


def error_line(main: Main, arguments: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    """The error message of a command that must exit with code 2 and one line on stderr."""
    error = error_of(main, arguments, capsys)
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def _command(name: str) -> Main:
    """A subcommand as a function of its arguments: train_det(["shapes_det", "--dry-run"])."""
    return lambda arguments: main([name, *arguments])


train_cls = _command("train-cls")
train_det = _command("train-det")
train_loc = _command("train-loc")
eval_cls = _command("eval-cls")
eval_voc = _command("eval-voc")
eval_coco = _command("eval-coco")
eval_loc = _command("eval-loc")
compare_voc = _command("compare-voc")
ablate = _command("ablate")
plot_errors = _command("plot-errors")
predict = _command("predict")
inspect_data = _command("inspect-data")
split_det = _command("split-det")
benchmark = _command("benchmark")
check_gpu = _command("check-gpu")
complexity = _command("complexity")
results = _command("results")
responses = _command("responses")
errors = _command("errors")
export = _command("export")
serve = _command("serve")
push = _command("push")
to_fiftyone = _command("to-fiftyone")
export_weights = _command("export-weights")
precise_bn = _command("precise-bn")
copy_configs = _command("copy-configs")
table = _command("table")
reproduce = _command("reproduce")
new_config = _command("new-config")
