"""A program finds out by itself whether it is one of several processes, and each takes a GPU of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from helpers.processes import start_processes
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.distributed import choose_device
from resdet.engine.launchers import launcher_of, slurm_environment
from resdet.engine.log import read_scalars
from resdet.errors import UserError

TORCHRUN = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
SRUN = {
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
SBATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODELIST": "n1"}
SALLOC = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_NODELIST": "n1"}
INTERACTIVE_STEP = {**SALLOC, "SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Environment variables without those of a launcher."""
    for name in [n for n in os.environ if n.startswith("SLURM_")] + [*TORCHRUN, "LOCAL_WORLD_SIZE"]:
        monkeypatch.setenv(name, "")  # so that what a test makes of it is undone
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "launcher"),
    [
        ({}, "none"),
        (TORCHRUN, "pytorch"),
        ({**TORCHRUN, "WORLD_SIZE": "1"}, "none"),
        (SRUN, "slurm"),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "1"}, "none"),
        ({**SRUN, **TORCHRUN}, "pytorch"),  # srun starts one torchrun per machine
        (SBATCH, "none"),  # the script itself, which has not called srun
        (SALLOC, "none"),
        (INTERACTIVE_STEP, "none"),
    ],
)
def test_the_environment_says_what_started_a_process(
    variables: dict[str, str], launcher: str, environment: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    assert launcher_of("auto") == launcher
    assert launcher_of("none") == "none"


def test_a_world_size_that_nothing_explains_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="WORLD_SIZE=2 is set, but torchrun has not started this process"):
        launcher_of("auto")


def test_an_sbatch_script_without_srun_is_told_so(environment: pytest.MonkeyPatch) -> None:
    """It would wait for seven processes that nobody starts."""
    for name, value in SBATCH.items():
        environment.setenv(name, value)
    with pytest.raises(UserError, match="--launcher slurm: SLURM_STEP_ID is not set; start with srun"):
        slurm_environment()


def test_sruns_variables_become_torchruns(environment: pytest.MonkeyPatch) -> None:
    for name, value in {**SRUN, "SLURM_STEP_NODELIST": "n1", "MASTER_ADDR": "n1", "SLURM_JOB_ID": "41"}.items():
        environment.setenv(name, value)
    slurm_environment()
    found = [os.environ[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")]
    assert found == ["3", "1", "8", "n1", "20041"]


@pytest.mark.parametrize(
    ("device", "local", "message"),
    [
        ("cuda:0", 0, "each of several processes has a GPU of its own; give --device cuda"),
        ("cuda", 0, "2 processes on this machine, but torch sees 1 GPU"),
        ("auto", 1, "2 processes on this machine, but torch sees 1 GPU"),
        ("cuda:7", None, "torch sees 1 GPU"),
    ],
)
def test_a_gpu_that_is_not_there_is_one_line(
    device: str, local: int | None, message: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(torch.cuda, "is_available", lambda: True)
    environment.setattr(torch.cuda, "device_count", lambda: 1)
    if local is not None:
        for name, value in {**TORCHRUN, "LOCAL_RANK": str(local), "LOCAL_WORLD_SIZE": "2"}.items():
            environment.setenv(name, value)
    with pytest.raises(UserError, match=message):
        choose_device(device, "none" if local is None else "pytorch")


def test_processes_of_torchrun_join_without_being_told(tmp_path: Path, det_config: Path) -> None:
    """Two whole trainings in one folder would write every step twice."""
    options = ["schedule.steps=2", "data.images=2"]
    ranks = start_processes(2, "train-det", det_config, "--work-dir", tmp_path, "--cfg-options", *options)
    for rank in ranks:
        rank.join(240)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    assert [r["step"] for r in read_scalars(tmp_path / "scalars.json") if "loss" in r] == [1, 2]
    assert read_checkpoint(tmp_path / "last.pth")["step"] == 2
