"""Several processes, one a GPU (or CPU): torchrun or SLURM starts them, torch.distributed joins them.

torchrun --nproc-per-node 8 tools/train_det.py CONFIG --launcher pytorch
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size, is_main_process
from torch import nn
from torch.distributed.rendezvous import rendezvous

from resdet.errors import UserError

__all__ = [
    "add_up",
    "close_processes",
    "copy_from_main",
    "gather_objects",
    "get_rank",
    "get_world_size",
    "is_main_process",
    "join_processes",
    "name_a_lost_process",
]


def join_processes(launcher: str, device: str) -> torch.device:
    """Join the other processes, if any, and say which device this one has.

    Args:
        launcher: "none", "pytorch" (torchrun's environment) or "slurm" (srun's).
        device: "auto", "cpu", "cuda" or "cuda:1".
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UserError(f"--device {device}: give auto, cpu, cuda or cuda:1")
    wants_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if wants_gpu and not torch.cuda.is_available():
        raise UserError(f"--device {device}: torch sees no GPU here; use --device cpu, or look at nvidia-smi")
    if launcher == "slurm":
        _slurm_environment()
    if launcher != "none":
        if "RANK" not in os.environ:
            raise UserError("--launcher pytorch: start with torchrun --nproc-per-node N tools/train_det.py ...")
        if not dist.is_initialized():  # by an earlier run of this program
            _meet("nccl" if wants_gpu else "gloo")
    if not wants_gpu:
        return torch.device("cpu")
    index = int(device[5:]) if ":" in device else int(os.environ.get("LOCAL_RANK", 0))
    if torch.cuda.device_count() == 1:  # SLURM's --gpus-per-task 1 shows each process its own alone
        index = 0
    chosen = torch.device("cuda", index)
    torch.cuda.set_device(chosen)
    return chosen


def gather_objects(value: list) -> list:
    """The lists of all processes, one after the other, on every process."""
    if get_world_size() == 1:
        return value
    parts: list[list] = [[] for _ in range(get_world_size())]
    dist.all_gather_object(parts, value)
    return [item for part in parts for item in part]


def add_up(tensor: torch.Tensor) -> None:
    """Add up a tensor over all processes, in place."""
    if get_world_size() > 1:
        dist.all_reduce(tensor)


def copy_from_main(module: nn.Module) -> None:
    """Give all processes the main one's parameters and buffers: BN has followed each process's own images."""
    for tensor in module.state_dict().values() if get_world_size() > 1 else ():
        dist.broadcast(tensor, src=0)


@contextmanager
def name_a_lost_process() -> Iterator[None]:
    """Say what it means when an exchange with the other processes fails: one of them has died.

    Raises:
        UserError: in place of the exchange's own error.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error).strip().splitlines()[0]
        if get_world_size() == 1 or not (isinstance(error, dist.DistError) or "gloo" in text):
            raise
        raise UserError(
            f"process {get_rank()} of {get_world_size()} has lost another one ({text}): that one's own error is above "
            "or in its log; go on with --resume, which torchrun --max-restarts N does by itself"
        ) from error


def close_processes() -> None:
    """Leave the group; without it torch warns at exit."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _meet(backend: str) -> None:
    """Join the group. After a restart on one machine torchrun's store still has the dead processes' addresses."""
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT")
    if restart is None or os.environ.get("LOCAL_WORLD_SIZE") != os.environ.get("WORLD_SIZE"):
        dist.init_process_group(backend)
        return
    store, rank, world = next(rendezvous("env://"))
    dist.init_process_group(backend, store=dist.PrefixStore(f"restart{restart}", store), rank=rank, world_size=world)


def _slurm_environment() -> None:
    try:
        node_list = os.environ["SLURM_NODELIST"]
        os.environ["RANK"], os.environ["WORLD_SIZE"] = os.environ["SLURM_PROCID"], os.environ["SLURM_NTASKS"]
        os.environ["LOCAL_RANK"] = os.environ["SLURM_LOCALID"]
    except KeyError as error:
        raise UserError(f"--launcher slurm: {error} is not set; start with srun") from error
    if "MASTER_ADDR" not in os.environ:
        try:
            hosts = subprocess.run(
                ["scontrol", "show", "hostnames", node_list], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError("--launcher slurm: scontrol does not answer; set MASTER_ADDR to the first host") from error
        os.environ["MASTER_ADDR"] = hosts.stdout.split()[0]
    # Two jobs on one machine must not meet at one port.
    os.environ.setdefault("MASTER_PORT", str(20_000 + int(os.environ.get("SLURM_JOB_ID", 9500)) % 20_000))
