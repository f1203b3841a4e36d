"""--print-config prints the config as it would be used; every command that takes a config has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import ON_CPU, train_det
from resdet.cli.main import build_parser, main
from resdet.cli.subcommands import SUBCOMMANDS
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config_text import config_text
from resdet.recipes.sections import load_config

MORE = {"ablate": ["--checkpoint", "CHECKPOINT"], "precise-bn": ["--checkpoint", "CHECKPOINT", "--out", "x.pth"]}


def takes_config(subcommand: str) -> bool:
    return any(action.dest == "config" and not action.option_strings for action in build_parser(subcommand)._actions)


def printed(words: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    assert not caught.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("subcommand", [name for name in SUBCOMMANDS if takes_config(name)])
def test_every_command_that_takes_a_config_prints_it_and_does_nothing_else(
    subcommand: str,
    det_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    more = [str(tmp_path / "none.pth") if word == "CHECKPOINT" else word for word in MORE.get(subcommand, [])]
    positional = ["none.pth", "photos"] if subcommand == "predict" else []
    text = printed([subcommand, det_config, *positional, "--print-config", *more], capsys)
    assert text == config_text(load_config(det_config))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("subcommand", ["train-cls", "train-det", "train-loc", "eval-voc"])
def test_the_default_config_is_printed_too(
    subcommand: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert printed([subcommand, "--print-config"], capsys).startswith("from ")


def test_what_is_printed_is_trained_recorded_and_read_back(
    det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--cfg-options", "schedule.milestones=3", "data.resizer.short=48", "schedule.steps=1"]
    text = printed(["train-det", det_config, "--print-config", *options], capsys)
    (tmp_path / "printed.py").write_text(text)
    train_det([str(tmp_path / "printed.py"), "--work-dir", str(tmp_path / "run"), *ON_CPU])
    capsys.readouterr()
    last = tmp_path / "run" / "last.pth"
    assert read_checkpoint(last)["config"] == text
    assert "milestones=(3,)" in text
    assert text in (tmp_path / "run" / "run.log").read_text()
    assert "rpn=dict(" in (tmp_path / "run" / "page.html").read_text()
    assert "train_post_nms" in (tmp_path / "run" / "page.html").read_text()
    assert printed(["eval-voc", last, "--print-config"], capsys) == text
    assert printed(["eval-voc", det_config, "--checkpoint", last, "--print-config"], capsys).count("short=48") == 1
    changed = printed(["eval-voc", last, "--print-config", "--cfg-options", "data.workers=3"], capsys)
    assert changed == text.replace("workers=0", "workers=3")


def test_what_differs_from_a_resumed_run_is_named_value_by_value(
    det_config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = [str(det_config), "--work-dir", str(tmp_path / "run"), *ON_CPU]
    train_det([*run, "--cfg-options", "schedule.steps=1"])
    capfd.readouterr()
    train_det([*run, "--resume", "--cfg-options", "schedule.steps=2", "model.rpn.nms_iou=0.6", "schedule.milestones=1"])
    said = " ".join("".join(capfd.readouterr()).split())
    for change in (
        "model.rpn.nms_iou was 0.7 and is 0.6",
        "schedule.steps was 1 and is 2",
        "schedule.milestones was () and is (1,)",
    ):
        assert change in said
