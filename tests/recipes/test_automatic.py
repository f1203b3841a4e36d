"""--auto-lr and --auto-images: a training that finds a value is the training that is given it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from helpers.commands import ON_CPU, call, error_line, train_cls, train_det
from helpers.processes import run_processes
from resdet.engine import range_test
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import Config
from resdet.engine.kept_config import kept_config
from resdet.engine.memory import can_measure_steps

needs_proc = pytest.mark.skipif(not can_measure_steps(torch.device("cpu")), reason="no /proc")


def config_of(folder: Path) -> Config:
    """The config that a run's checkpoint keeps."""
    kept = kept_config(folder / "last.pth")
    assert kept is not None
    return kept


def assert_same_training(one: Path, other: Path) -> None:
    """The checkpoints of two runs are equal to the bit: weights, BN statistics, momentum, generators, config."""
    a, b = (read_checkpoint(folder / "last.pth") for folder in (one, other))
    assert a["step"] == b["step"]
    for name, tensor in a["model"].items():
        assert torch.equal(tensor, b["model"][name]), name
    for own, their in zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True):
        assert torch.equal(own["momentum_buffer"], their["momentum_buffer"])
    assert torch.equal(a["rng"], b["rng"])
    assert a["config"] == b["config"]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A range test of a quarter of its steps, which is enough where the loss has little noise."""
    monkeypatch.setattr(range_test, "STEPS", 50)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("task", ["det", "cls"])
def test_a_training_with_the_rate_that_it_found_is_the_training_given_that_rate(
    task: str, det_config: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, config = {"det": (train_det, det_config), "cls": (train_cls, cls_config)}[task]
    steps = ["--cfg-options", "schedule.steps=2"]
    call(command, config, "--work-dir", tmp_path / "found", *ON_CPU, "--auto-lr", *steps)
    printed = capsys.readouterr().out
    test = json.loads((tmp_path / "found" / "lr_range.json").read_text())
    lr, before = config_of(tmp_path / "found").optimizer.lr, {"det": 0.001, "cls": 0.1}[task]
    assert (test["suggestion"], test["config"]) == (lr, before)
    assert f"--auto-lr: optimizer.lr={lr:g} (the config: {before:g})" in printed
    assert len(test["lr"]) == len(test["loss"]) == len(test["smoothed"]) > 10
    assert "<svg" in (tmp_path / "found" / "lr_range.svg").read_text()
    assert f"lr={lr}" in (tmp_path / "found" / "page.html").read_text()
    call(command, config, "--work-dir", tmp_path / "given", *ON_CPU, *steps, f"optimizer.lr={lr}")
    assert_same_training(tmp_path / "found", tmp_path / "given")


@needs_proc
@pytest.mark.parametrize("task", ["det", "cls"])
def test_a_training_with_the_images_that_it_found_is_the_training_given_as_many(
    task: str, det_config: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All images of these small sets fit."""
    command, config, images = {"det": (train_det, det_config, 3), "cls": (train_cls, cls_config, 16)}[task]
    steps = ["--cfg-options", "schedule.steps=2"]
    call(command, config, "--work-dir", tmp_path / "found", *ON_CPU, "--auto-images", *steps)
    printed = " ".join(capsys.readouterr().out.split())
    assert config_of(tmp_path / "found").data.images == images
    assert f"--auto-images: data.images={images} (the config: {2 if task == 'det' else 4})" in printed
    assert "the schedule keeps its 2 steps" in printed
    call(command, config, "--work-dir", tmp_path / "given", *ON_CPU, *steps, f"data.images={images}")
    assert_same_training(tmp_path / "found", tmp_path / "given")


@pytest.mark.usefixtures("short")
def test_a_run_that_goes_on_keeps_what_it_found(
    cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [cls_config, "--work-dir", tmp_path / "run", *ON_CPU, "--auto-lr", "--cfg-options"]
    call(train_cls, *words, "schedule.steps=2")
    lr, curve = config_of(tmp_path / "run").optimizer.lr, (tmp_path / "run" / "lr_range.json").read_bytes()
    capsys.readouterr()
    call(train_cls, *words, "schedule.steps=4", "--resume")
    printed = capsys.readouterr().out
    assert f"found when the run began: optimizer.lr={lr}" in printed
    assert "range test" not in printed
    assert "optimizer.lr was" not in printed
    assert (config_of(tmp_path / "run").optimizer.lr, read_checkpoint(tmp_path / "run" / "last.pth")["step"]) == (lr, 4)
    assert (tmp_path / "run" / "lr_range.json").read_bytes() == curve

    call(train_cls, *words, "schedule.steps=1", "--seed", "1")  # a new run in the folder
    (older,) = (tmp_path / "run" / "older").iterdir()
    assert (older / "lr_range.json").read_bytes() == curve
    assert (tmp_path / "run" / "lr_range.json").read_bytes() != curve


def test_two_processes_find_one_rate(cls_config: Path, tmp_path: Path) -> None:
    options = ["--cfg-options", "schedule.steps=2", "precise_bn.images=0"]
    run_processes(2, "train-cls", cls_config, "--work-dir", tmp_path / "found", "--auto-lr", *options)
    given = f"optimizer.lr={config_of(tmp_path / 'found').optimizer.lr}"
    run_processes(2, "train-cls", cls_config, "--work-dir", tmp_path / "given", *options, given)
    assert_same_training(tmp_path / "found", tmp_path / "given")


@pytest.mark.usefixtures("short")
def test_an_older_run_keeps_its_place_until_the_training_begins(cls_config: Path, tmp_path: Path) -> None:
    """Its weights can be those to start from."""
    words = [cls_config, "--work-dir", tmp_path / "run", *ON_CPU, "--cfg-options", "schedule.steps=1"]
    call(train_cls, *words)
    call(train_cls, *words, "--init-from", tmp_path / "run" / "last.pth", "--auto-lr")
    (older,) = (tmp_path / "run" / "older").iterdir()
    assert (older / "last.pth").is_file()
    assert (tmp_path / "run" / "lr_range.json").is_file()


@pytest.mark.usefixtures("short")
def test_no_rate_at_which_the_loss_falls_is_an_error_that_costs_no_older_run(
    cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [cls_config, "--work-dir", tmp_path / "run", *ON_CPU, "--cfg-options", "schedule.steps=1"]
    call(train_cls, *words)
    before = (tmp_path / "run" / "last.pth").read_bytes()
    error = error_line(train_cls, [*words, "loop.clip=1e-12", "--auto-lr"], capsys)
    assert error.startswith("error: --auto-lr: the loss did not fall at any rate from ")
    assert (tmp_path / "run" / "last.pth").read_bytes() == before


def test_what_cannot_be_is_refused(
    det_config: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--work-dir", tmp_path / "run", *ON_CPU]
    given = [det_config, *folder, "--cfg-options", "optimizer.lr=0.1"]
    error = error_line(train_det, [*given, "--auto-lr"], capsys)
    assert error == "error: --auto-lr finds optimizer.lr, which --cfg-options gives; leave one of the two out\n"
    for values in ("data.images=4", "data={'images': 4}"):
        error = error_line(train_cls, [cls_config, *folder, "--auto-images", "--cfg-options", values], capsys)
        assert "--auto-images finds data.images, which --cfg-options gives" in error
    error = error_line(train_cls, [cls_config, *folder, "--auto-lr", "--runs", "2"], capsys)
    assert "each run would find its own optimizer.lr" in error
    error = error_line(train_cls, [cls_config, *folder, "--auto-images", "--compile"], capsys)
    assert "--compile changes its memory: give data.images" in error
    error = error_line(train_det, [det_config, *folder, "--auto-images", "--dry-run"], capsys)
    assert "--auto-images would measure the small net of the dry run" in error
    error = error_line(train_det, ["fruit_r18_alternating", *folder, "--auto-lr"], capsys)
    assert "optimizer.lr of four trainings cannot be found at once" in error
    assert not (tmp_path / "run" / "last.pth").exists()
