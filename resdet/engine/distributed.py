"""Training on several GPUs or machines: one process per device, started by torchrun or SLURM.

torchrun --nproc-per-node 8 -m resdet train-det CONFIG --launcher pytorch
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size, is_main_process
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from resdet.errors import UserError

__all__ = [
    "add_up",
    "close_processes",
    "copy_from_main",
    "distribute",
    "explain_lost_process",
    "gather_objects",
    "get_rank",
    "get_world_size",
    "images_per_pass",
    "is_main_process",
    "join_processes",
    "no_gradient_exchange",
]

T = TypeVar("T")


def join_processes(launcher: str, device: str) -> torch.device:
    """Join the process group, if there are several processes, and select this process's device.

    Args:
        launcher: what started the processes: "none" (there is one), "pytorch" (torchrun) or "slurm" (srun).
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".

    Returns:
        The device; a GPU is also made the current one.

    Raises:
        UserError: an unknown device, no GPU, or no launcher's environment.
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
            raise UserError("--launcher pytorch: start with torchrun --nproc-per-node N -m resdet train-det ...")
        if not dist.is_initialized():  # an earlier run of this program may have joined
            _meet("nccl" if wants_gpu else "gloo")
    if not wants_gpu:
        return torch.device("cpu")
    index = int(device[5:]) if ":" in device else int(os.environ.get("LOCAL_RANK", 0))
    if torch.cuda.device_count() == 1:  # with SLURM's --gpus-per-task 1 each process sees only its own
        index = 0
    chosen = torch.device("cuda", index)
    torch.cuda.set_device(chosen)
    return chosen


def images_per_pass(images: int, accumulate: int, key: str = "data.images") -> int:
    """Images per forward pass, over all processes.

    Args:
        images: images per optimizer step, over all processes and accumulated passes.
        accumulate: passes per optimizer step.
        key: where the config has `images`, for the message.

    Raises:
        UserError: `images` is not divisible by the number of passes times that of processes.
    """
    parts = accumulate * get_world_size()
    if images % parts:
        raise UserError(f"{key}={images} cannot be divided by {parts} (loop.accumulate x processes) evenly")
    return images // accumulate


def gather_objects(value: list[T]) -> list[T]:
    """Concatenate the lists of all processes by rank; every process gets the result."""
    if get_world_size() == 1:
        return value
    parts: list[list[T]] = [[] for _ in range(get_world_size())]
    dist.all_gather_object(parts, value)
    return [item for part in parts for item in part]


def add_up(tensor: torch.Tensor) -> None:
    """Sum a tensor over all processes, in place."""
    if get_world_size() > 1:
        dist.all_reduce(tensor)


def copy_from_main(module: nn.Module) -> None:
    """Copy parameters and buffers of the main process to all others, whose BN has seen other images."""
    for tensor in module.state_dict().values() if get_world_size() > 1 else ():
        dist.broadcast(tensor, src=0)


@contextmanager
def explain_lost_process() -> Iterator[None]:
    """Explain a failed exchange between processes: one of them has died.

    Raises:
        UserError: another process has died; replaces the error of NCCL or gloo.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error).strip().splitlines()[0]
        if get_world_size() == 1 or not (isinstance(error, dist.DistError) or "gloo" in text):
            raise
        raise UserError(
            f"process {get_rank()} of {get_world_size()} has lost another one ({text}): the other's error is above "
            "or in its log; go on with --resume, which torchrun --max-restarts N does by itself"
        ) from error


def close_processes() -> None:
    """Leave the process group; without this torch warns at exit."""
    if dist.is_initialized():
        dist.destroy_process_group()


def distribute(model: nn.Module, device: torch.device) -> nn.Module:
    """Wrap a model in DistributedDataParallel; with one process it is returned as it is.

    BN buffers are copied from the main process before each forward pass, unless all BN is frozen.
    """
    if get_world_size() == 1:
        return model
    ids = [device.index] if device.type == "cuda" else None
    has_bn = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # torch < 2.13
    buffers: dict[str, Any] = {name: has_bn}
    return DistributedDataParallel(model, device_ids=ids, **buffers)


def no_gradient_exchange(model: nn.Module, wanted: bool) -> AbstractContextManager[Any]:
    """A context in which a distributed model does not exchange gradients, if `wanted`.

    For accumulated passes: all but the last one of a step.
    """
    return model.no_sync() if wanted and isinstance(model, DistributedDataParallel) else nullcontext()


def _meet(backend: str) -> None:
    """Join the process group.

    torchrun's store keeps the addresses of dead processes after a restart on one machine; a key prefix avoids them.
    """
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT")
    if restart is None or os.environ.get("LOCAL_WORLD_SIZE") != os.environ.get("WORLD_SIZE"):
        dist.init_process_group(backend)
        return
    store, rank, world = next(rendezvous("env://"))
    dist.init_process_group(backend, store=PrefixStore(f"restart{restart}", store), rank=rank, world_size=world)


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
    # Two jobs on one machine must not use the same port.
    os.environ.setdefault("MASTER_PORT", str(20_000 + int(os.environ.get("SLURM_JOB_ID", 9500)) % 20_000))
