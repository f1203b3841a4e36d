"""What started this process, one of several or alone, by its environment variables. Imports nothing heavy."""

from __future__ import annotations

import os
import subprocess

from resdet.errors import UserError


def launcher_of(launcher: str) -> str:
    """The launcher that started this process.

    Args:
        launcher: "auto"; or "none" (this process runs alone whatever the environment says), "pytorch", "slurm".

    Returns:
        "none", "pytorch" (torchrun) or "slurm" (srun). An sbatch script or a shell of salloc that calls no srun runs
        alone: SLURM_NTASKS says how many tasks it may start, not that they are there.

    Raises:
        UserError: the variables contradict each other.
    """
    if launcher != "auto":
        return launcher
    if _number("WORLD_SIZE") > 1:
        if "RANK" in os.environ and "LOCAL_RANK" in os.environ:
            return "pytorch"
        raise UserError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} is set, but torchrun has not started this process (no RANK and "
            "LOCAL_RANK); give --launcher pytorch to join the others, or --launcher none to run alone"
        )
    return "slurm" if _slurm_tasks() > 1 else "none"


def local_processes() -> int:
    """Number of this run's processes on this machine; 1 where no launcher says so."""
    return max(1, _number("LOCAL_WORLD_SIZE"))


def torchrun_environment() -> None:
    """Check that the variables that torchrun sets are there.

    Raises:
        UserError: they are not.
    """
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UserError(
            f"--launcher pytorch: {missing[0]} is not set; start with torchrun --nproc-per-node N -m resdet COMMAND ..."
        )


def slurm_environment() -> None:
    """Set torchrun's variables from those of SLURM; the first host of the step is where all processes meet.

    Raises:
        UserError: srun has not started this process, or scontrol does not answer.
    """
    if _slurm_tasks() < 1:
        raise UserError("--launcher slurm: SLURM_STEP_ID is not set; start with srun")
    try:
        node_list = os.environ.get("SLURM_STEP_NODELIST") or os.environ["SLURM_NODELIST"]
        os.environ["RANK"], os.environ["WORLD_SIZE"] = os.environ["SLURM_PROCID"], str(_slurm_tasks())
        os.environ["LOCAL_RANK"] = os.environ["SLURM_LOCALID"]
    except KeyError as error:
        raise UserError(f"--launcher slurm: {error} is not set; start with srun") from error
    os.environ.setdefault("LOCAL_WORLD_SIZE", str(max(1, _number("SLURM_NTASKS_PER_NODE"))))
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _first_host(node_list)
    # Two jobs on one machine must not use the same port.
    os.environ.setdefault("MASTER_PORT", str(20_000 + int(os.environ.get("SLURM_JOB_ID", 9500)) % 20_000))


def _slurm_tasks() -> int:
    """Tasks of the srun that started this process; 0 without one."""
    if "SLURM_STEP_ID" not in os.environ:
        return 0
    return _number("SLURM_STEP_NUM_TASKS") or _number("SLURM_NTASKS")


def _first_host(node_list: str) -> str:
    try:
        hosts = subprocess.run(["scontrol", "show", "hostnames", node_list], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError("--launcher slurm: scontrol does not answer; set MASTER_ADDR to the first host") from error
    return hosts.stdout.split()[0]


def _number(name: str) -> int:
    """The number in an environment variable; 0 if it is not set or no number."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else 0
