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
    config = config_text(load_config(det_config))
    assert text.startswith(config)
    comments = text.removeprefix(config).splitlines()
    assert comments == (["# training: 4 steps of 2 images, rate 0.001"] if subcommand.startswith("train-") else [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("subcommand", ["train-cls", "train-det", "train-loc", "eval-voc"])
def test_the_default_config_is_printed_too(
    subcommand: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert printed([subcommand, "--print-config"], capsys).startswith("from ")


def test_tensorboard_is_one_flag_beside_other_options(det_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(
        ["train-det", det_config, "--tensorboard", "--cfg-options", "schedule.steps=3", "--print-config"], capsys
    )
    assert 'log_backends = ("tensorboard",)' in text
    assert "steps=3" in text


@pytest.mark.parametrize(
    ("option", "message"), [("model.num_classes=-1", "at least 1"), ("model.net.depth=19", "no ResNet-19 in Table 1")]
)
def test_a_net_that_cannot_be_built_is_not_printed(
    option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train-det", "coco_r101", "--print-config", "--cfg-options", option])
    output = capsys.readouterr()
    assert (caught.value.code, output.out) == (2, "")
    assert message in output.err


def test_what_is_printed_is_trained_recorded_and_read_back(
    det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--cfg-options", "schedule.milestones=3", "data.resizer.short=48", "schedule.steps=1"]
    text = printed(["train-det", det_config, "--print-config", *options], capsys)
    (tmp_path / "printed.py").write_text(text)
    text = text.partition("# ")[0]
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


def test_what_will_run_is_said_after_the_scaling_with_the_images(
    det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice the images: half of the steps at twice the rate, milestones and warm-up as the rule has them."""
    config = tmp_path / "mine.py"
    step = "schedule = dict(type=MultiStep, steps=40, milestones=(30,), reference_images=2)"
    config.write_text(det_config.read_text().replace("schedule = dict(type=MultiStep, steps=4)", step))
    words = ["train-det", config, "--cfg-options", "data.images=4"]
    will_run = "training: 20 steps of 4 images (scaled from 40), rate 0.002, x 0.1 at step 15, warm-up of 2 steps"
    assert printed([*words, "--print-config"], capsys).splitlines()[-1] == f"# {will_run}"
    fewer = [*words, "schedule.steps=4"]
    left = 'schedule.steps is 4 instead of 40, but schedule.milestones is still (30,); add "schedule.milestones=(3,)"'
    lines = printed([*fewer, "--print-config"], capsys).splitlines()[-2:]
    assert "2 steps of 4 images (scaled from 4), rate 0.002, x 0.1 at step 15 (beyond the end)" in lines[0]
    assert lines[1] == f"# {left} if they should follow"
    train_det([*map(str, fewer[1:]), "--work-dir", str(tmp_path / "run"), *ON_CPU])
    log = (tmp_path / "run/run.log").read_text()
    assert "training: 2 steps of 4 images" in log
    assert left in log
    capsys.readouterr()
    assert "instead of" not in printed([*fewer, "schedule.milestones=(3,)", "--print-config"], capsys)


def test_each_stage_of_a_config_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(["train-det", "voc07_r101_alternating", "--print-config"], capsys).splitlines()
    assert lines[-2:] == [
        "# alternating.rpn, twice: 80,000 steps of 1 image, rate 0.001, x 0.1 at step 60,000",
        "# alternating.head, twice: 60,000 steps of 2 images, rate 0.001, x 0.1 at step 30,000",
    ]
    lines = printed(["train-cls", "cifar10_r110", "--print-config"], capsys).splitlines()
    falls = "x 0.1 at steps 32,000, 48,000, x 0.1 until top1_error is below 80"
    assert lines[-1] == f"# training: 64,000 steps of 128 images, rate 0.1, {falls}"
