"""Training a localizer: stages, resuming, two processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.commands import ON_CPU, call, error_line, error_of, eval_loc, train_loc
from helpers.processes import run_processes
from resdet.data.localization.files import read_kaggle
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars


def test_the_baseline_trains_and_is_tested_by_one_crop(
    tmp_path: Path, regression: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(train_loc, regression, "--work-dir", tmp_path, *ON_CPU, "--json", tmp_path / "train.json")
    assert read_checkpoint(tmp_path / "1_regression/last.pth")["step"] == 6
    last = tmp_path / "last.pth"
    call(eval_loc, regression, "--checkpoint", last, *ON_CPU, "--json", tmp_path / "eval.json")
    trained, tested = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("train", "eval"))
    assert trained["test/localization_error"] == tested["1-crop, true class"]["localization_error"]
    dense = error_line(eval_loc, [regression, "--checkpoint", last, "--views", "dense", *ON_CPU], capsys)
    assert "no score to choose by" in dense


def test_a_finished_stage_is_not_repeated_and_more_steps_continue_it(tmp_path: Path, loc_config: Path) -> None:
    command = [loc_config, "--work-dir", tmp_path, *ON_CPU]
    call(train_loc, *command)
    stage = tmp_path / "1_rpn/last.pth"
    before = stage.read_bytes()
    call(train_loc, *command, "--resume")
    assert stage.read_bytes() == before
    call(train_loc, *command, "--resume", "--cfg-options", "schedule.steps=8")
    log = (tmp_path / "run.log").read_text()
    assert "resumed at step 6 of 6" in log
    assert "resumed at step 6 of 8" in log
    assert [r["step"] for r in read_scalars(tmp_path / "1_rpn/scalars.json") if "loss" in r] == [2, 4, 6, 8]
    call(train_loc, *command)  # anew: the old stage does not count
    assert read_checkpoint(stage)["step"] == 6


def test_two_processes_localize_like_one(tmp_path: Path, loc_config: Path, random_rpn: Path) -> None:
    for world in (1, 2):
        out = ["--json", tmp_path / f"{world}.json", "--write-predictions", tmp_path / f"{world}.csv"]
        run_processes(world, "eval-loc", loc_config, "--checkpoint", random_rpn, "--views", "1-crop", "dense", *out)
    one, two = (json.loads((tmp_path / f"{world}.json").read_text()) for world in (1, 2))
    assert one == two
    ids = [f"ILSVRC2012_val_{i:08}" for i in range(1, 8)]
    guesses = [read_kaggle(tmp_path / f"{world}.csv", ids, ["n01", "n02"]) for world in (1, 2)]
    np.testing.assert_array_equal(guesses[0].labels, guesses[1].labels)
    np.testing.assert_allclose(guesses[0].boxes, guesses[1].boxes, atol=1e-3)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_have_the_gradient_of_one(accumulate: int, tmp_path: Path, loc_config: Path) -> None:
    options = ["schedule.steps=1", f"loop.accumulate={accumulate}", "data.images=8", "optimizer.lr=1"]
    options += ["optimizer.reference_images=8", "optimizer.weight_decay=0", "model.settings.frozen_bn=True"]
    for world in (1, 2):
        run_processes(world, "train-loc", loc_config, "--work-dir", tmp_path / str(world), "--cfg-options", *options)
    one, two = (read_checkpoint(tmp_path / n / "last.pth")["model"] for n in "12")
    assert one["deltas.bias"].abs().max() > 1e-3
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5, msg=name)


def test_a_new_run_sets_the_checkpoints_of_an_older_one_aside(
    editable: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, images = editable
    run = tmp_path / "run"
    command = [config, "--work-dir", run, *ON_CPU]
    best = ["--cfg-options", "loop.best=test/localization_error"]
    call(train_loc, *command, *best)
    files = [folder / name for folder in (run, run / "1_rpn") for name in ("last.pth", "best.pth")]
    assert all(path.is_file() for path in files)
    assert "none.pth" in error_line(train_loc, [*command, "--init-from", "none.pth"], capsys)
    for path in files:  # nothing was trained: the older run stays
        assert read_checkpoint(path)["step"] == 6
        assert "is the run's own" in error_line(train_loc, [*command, "--init-from", path], capsys)
    (images / "ILSVRC/Data/CLS-LOC/train/n02/n02_1.JPEG").write_bytes(b"damaged")
    assert "n02_1.JPEG" in error_of(train_loc, command, capsys)  # it dies in its first stage
    assert all(read_checkpoint(path)["step"] < 6 for path in files if path.is_file())
    assert not (run / "best.pth").exists()
    (older,) = (run / "older").iterdir()
    assert all(read_checkpoint(older / path.relative_to(run))["step"] == 6 for path in files)
