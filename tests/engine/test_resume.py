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

from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars

STEPS = 60
KILLS = 20


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
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["resdet.recipes.classification.training", "resdet.recipes.detection.trainer"])

    def start(work_dir: Path) -> multiprocessing.process.BaseProcess:
        process = server.Process(target=train, args=(config, work_dir))
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
