"""Alternating training: what each of the four steps trains, the shared trunk, resuming after a kill."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from helpers.commands import ON_CPU, error_line, eval_voc, train_det
from helpers.configs import DETECTOR
from helpers.processes import SERVER
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars

STEPS = 12
ALTERNATING = """
schedule = None
alternating = dict(
    rpn=dict(images=1, reference_images=1, schedule=dict(type=MultiStep, steps={steps})),
    head=dict(images=2, reference_images=2, schedule=dict(type=MultiStep, steps={steps})),
)
loop = dict(log_every=1, checkpoint_every=3, validate_every=0)
"""


@pytest.fixture(scope="module")
def config(det_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alternating") / "four_steps.py"
    text = DETECTOR.format(root=str(det_config.parent / "devkit")).replace("frozen_stages=0", "frozen_stages=2")
    path.write_text(text + ALTERNATING.format(steps=STEPS))
    return path


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work_dir = tmp_path_factory.mktemp("straight")
    train(config, work_dir)
    return work_dir


def train(config: Path, work_dir: Path) -> None:
    torch.set_num_threads(1)
    train_det([str(config), "--work-dir", str(work_dir), "--resume", *ON_CPU])


def weights(work_dir: Path, step: str = "") -> dict[str, torch.Tensor]:
    return read_checkpoint(work_dir / step / "last.pth")["model"]


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The parts (conv1 ... conv5, rpn, head) whose parameters differ."""
    names = [name for name in before if not torch.equal(before[name], after[name])]
    return {name.removeprefix("net.").partition(".")[0] for name in names}


def test_the_final_rpn_and_head_use_one_trunk(finished: Path) -> None:
    second, third, fourth = (weights(finished, step) for step in ("2_head", "3_rpn", "4_head"))
    assert changed(second, third) == {"rpn"}  # trained on the trunk that the second step left
    assert changed(third, fourth) == {"conv5", "head"}
    assert changed(fourth, weights(finished)) == set()


def test_the_first_two_steps_train_two_nets_from_the_same_start(finished: Path) -> None:
    first, second = (weights(finished, step) for step in ("1_rpn", "2_head"))
    assert {"conv3", "conv4", "rpn", "head"} <= changed(first, second)
    records = {name: read_scalars(finished / name / "scalars.json") for name in ("1_rpn", "2_head", "3_rpn", "4_head")}
    for name, found in records.items():
        losses = {key for r in found for key in r if key.startswith("loss_")}
        part = {"rpn": {"loss_rpn_objectness", "loss_rpn_box"}, "head": {"loss_class", "loss_box"}}[name[2:]]
        assert losses == part
        assert max(r["step"] for r in found) == STEPS
    assert {r["lr"] for r in records["1_rpn"] if "lr" in r} == {r["lr"] for r in records["2_head"] if "lr" in r}
    assert "val/mAP50" in records["4_head"][-1]


def test_a_run_killed_in_its_third_step_ends_with_the_same_bits(config: Path, finished: Path, tmp_path: Path) -> None:
    process = SERVER.Process(target=train, args=(config, tmp_path))
    process.start()
    while process.is_alive():
        third = tmp_path / "3_rpn" / "scalars.json"
        if third.is_file() and any(r["step"] >= 5 for r in read_scalars(third)):
            break
        time.sleep(0.002)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "4_head").exists()
    train(config, tmp_path)
    assert changed(weights(finished), weights(tmp_path)) == set()


def test_a_new_run_in_an_older_runs_folder_sets_its_steps_aside(config: Path, tmp_path: Path) -> None:
    arguments = [str(config), "--work-dir", str(tmp_path), *ON_CPU]
    short = ["--cfg-options", "alternating.rpn.schedule.steps=2", "alternating.head.schedule.steps=2"]
    train_det([*arguments, *short])
    old = weights(tmp_path, "2_head")
    with pytest.raises(SystemExit):  # a NaN ends it in the first step
        train_det([*arguments, *short, "optimizer.lr=1e30"])
    assert not (tmp_path / "2_head/last.pth").exists()
    (older,) = (tmp_path / "older").iterdir()
    assert not changed(old, weights(older, "2_head"))
    assert {"last.pth", "page.html", "4_head"} <= {path.name for path in older.iterdir()}
    train_det([*arguments, "--resume", *short, "optimizer.lr=0.01"])
    assert changed(old, weights(tmp_path, "2_head"))


def test_a_moving_average_goes_through_the_four_steps(config: Path, tmp_path: Path) -> None:
    short = ["alternating.rpn.schedule.steps=3", "alternating.head.schedule.steps=3", "loop.ema=0.5"]
    train_det([str(config), "--work-dir", str(tmp_path), *ON_CPU, "--cfg-options", *short])
    second, fourth = weights(tmp_path, "2_head"), weights(tmp_path)
    assert changed(second, fourth) == {"rpn", "conv5", "head"}


def test_the_result_of_alternating_training_is_evaluated_like_any_detector(
    config: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eval_voc([str(config), "--checkpoint", str(finished / "last.pth"), *ON_CPU])
    assert "mAP@.5" in capsys.readouterr().out
    page = (finished / "page.html").read_text()
    assert all(name in page for name in ("1_rpn", "2_head", "3_rpn", "4_head"))


def test_user_errors_are_one_line(config: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [config, "--work-dir", finished, *ON_CPU, "--resume", finished / "last.pth"]
    assert "each of the four steps has its own checkpoint" in error_line(train_det, arguments, capsys)
    head = [config, "--work-dir", finished.parent / "new", *ON_CPU, "--cfg-options", "alternating.head.images=3"]
    error = error_line(train_det, [*head, "alternating.rpn.images=2", "loop.accumulate=2"], capsys)
    assert "alternating.head.images=3 cannot be divided by 2" in error
    assert not (finished.parent / "new/1_rpn").exists()
    arguments = [config, "--work-dir", finished, *ON_CPU, "--cfg-options", "alternating.rpn.image=1"]
    assert "there is no 'image' (did you mean images?)" in error_line(train_det, arguments, capsys)
