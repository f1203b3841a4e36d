"""A run that is killed repeatedly at random moments ends bit-identical to an undisturbed run."""

from __future__ import annotations

import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.commands import ON_CPU, call, train_cls, train_det, train_loc
from helpers.configs import DETECTOR
from helpers.localizers import RCNN_SECTION
from helpers.processes import SERVER
from helpers.runs import begin_scale, grey, run_in
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars

STEPS = 60
KILLS = 20


FOUR_STEPS = """
schedule = None
alternating = dict.fromkeys(
    ("rpn", "head"), dict(images=1, reference_images=1, schedule=dict(type=MultiStep, steps=2))
)
"""


def train(config: Path, work_dir: Path) -> None:
    """Runs in a child process: train to the end, resuming from where the previous process was killed."""
    from resdet.engine.run import RunOptions, start_run
    from resdet.recipes.classification.training import train_classifier
    from resdet.recipes.detection.trainer import train_jointly
    from resdet.recipes.localization.training import train_localizer
    from resdet.recipes.sections import load_config

    multiprocessing.set_start_method("fork", force=True)  # the loader's workers, as in a command
    torch.set_num_threads(1)
    options = {"schedule.steps": STEPS, "loop.log_every": 1, "loop.checkpoint_every": 3, "data.workers": 2}
    cfg = load_config(config, options)
    run = start_run(work_dir, RunOptions("cpu", "fp32", seed=3, resume="auto"))
    recipes = {"tiny_cls": train_classifier, "tiny_det": train_jointly, "tiny_loc": train_localizer}
    recipes[config.stem](cfg, run)


def last_step(work_dir: Path) -> int:
    return max((r["step"] for r in read_scalars(work_dir / "scalars.json")), default=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cls_config", "det_config", "loc_config"])
def test_twenty_kills_do_not_change_the_result(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    config = request.getfixturevalue(name)
    stage = "1_rpn" if name == "loc_config" else ""  # its folder in the run's

    def start(work_dir: Path) -> multiprocessing.process.BaseProcess:
        process = SERVER.Process(target=train, args=(config, work_dir))
        process.start()
        return process

    straight = start(tmp_path / "straight")
    straight.join(120)
    assert straight.exitcode == 0

    killed = []
    for step in sorted(np.random.default_rng(0).integers(1, STEPS, KILLS).tolist()):
        process = start(tmp_path / "killed")
        while last_step(tmp_path / "killed" / stage) < step and process.is_alive():
            time.sleep(0.002)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        killed.append(process.exitcode)
    assert killed == [-signal.SIGKILL] * KILLS
    last = start(tmp_path / "killed")
    last.join(120)
    assert last.exitcode == 0

    one, other = (read_checkpoint(tmp_path / n / "last.pth") for n in ("straight", "killed"))
    assert one["step"] == other["step"] == STEPS
    for name, value in one["model"].items():
        assert torch.equal(value, other["model"][name]), name
    records = [
        [
            {k: v for k, v in r.items() if k != "images_per_second"}
            for r in read_scalars(tmp_path / n / stage / "scalars.json")
        ]
        for n in ("straight", "killed")
    ]
    assert [r["step"] for r in records[0]] == [*range(1, STEPS + 1), STEPS]  # the last one is the test's
    assert records[0] == records[1]


def test_a_clusters_signal_to_all_processes_saves_and_says_how_to_resume(tmp_path: Path, det_config: Path) -> None:
    """SLURM and shells send SIGTERM to the loader's workers as well."""
    options = ["--cfg-options", "schedule.steps=100000", "loop.log_every=1", "data.workers=2"]
    command = [sys.executable, "-m", "resdet", "train-det", str(det_config), "--work-dir", str(tmp_path), *options]
    process = subprocess.Popen(
        [*command, "--device", "cpu"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    while last_step(tmp_path) < 5 and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 143, error
    again = shlex.join(["resdet", *command[3:], "--device", "cpu", "--resume"])
    stopped = re.search(rf"^stopped at step (\d+); go on with: {re.escape(again)}$", error, re.MULTILINE)
    assert stopped, error
    assert read_checkpoint(tmp_path / "last.pth")["step"] == int(stopped[1])


# Nothing left to train ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "complete"),
    [
        ("cls", ["the run is"]),
        ("det", ["the run is"]),
        ("four", [f"the stage {name} is" for name in ("1_rpn", "2_head", "3_rpn", "4_head")]),
        ("loc", ["the stage 1_rpn is", "the stage 3_rcnn is"]),
    ],
)
def test_a_complete_training_says_that_nothing_is_left_to_train(
    kind: str, complete: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found: Path = request.getfixturevalue(f"{'det' if kind == 'four' else kind}_config")
    four = DETECTOR.format(root=str(found.parent / "devkit")).replace("frozen_stages=0", "frozen_stages=2") + FOUR_STEPS
    text = {"four": four, "loc": found.read_text() + RCNN_SECTION}.get(kind, found.read_text())
    config = tmp_path / "config.py"
    config.write_text(text + ("" if kind == "four" else "schedule.update(steps=2)\n"))
    command = train_det if kind in ("det", "four") else train_cls if kind == "cls" else train_loc
    options = ["--cfg-options", "rcnn.schedule.steps=2"] if kind == "loc" else []
    for _ in range(2):
        call(command, config, "--resume", "--work-dir", tmp_path / "run", *ON_CPU, *options)
    said = re.findall(r"INFO - (.* is) complete: step 2 of 2, nothing", (tmp_path / "run" / "run.log").read_text())
    assert said == complete


def test_what_to_do_after_the_last_step_follows_from_why_it_was_the_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    every = {"best": "val/x", "validate_every": 1}
    begin_scale(run_in(tmp_path), 6, **every).train([grey(9)] * 6, lambda model: {"val/x": model.w.item()})
    assert "nothing is left" not in caplog.text
    begin_scale(run_in(tmp_path, resume="auto"), 6, **every)
    assert (
        "the run is complete: step 6 of 6, nothing is left to train; to train longer, raise the steps of" in caplog.text
    )
    begin_scale(run_in(tmp_path, resume="auto"), 9, patience=3, **every)
    assert "complete: step 6 of 9, nothing is left to train; to train longer, raise loop.patience" in caplog.text
    caplog.clear()
    begin_scale(run_in(tmp_path, resume="auto"), 4, **every)
    assert "ends at step 4, but its checkpoint is of step 6: nothing is trained, and the figures are" in caplog.text
    begin_scale(run_in(tmp_path, resume="auto"), 7, **every)
    assert "complete" not in caplog.text
