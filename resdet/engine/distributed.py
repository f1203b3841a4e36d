"""Training on several GPUs or machines: one process per device, started by torchrun or SLURM.

torchrun --nproc-per-node 8 -m resdet train-det CONFIG
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size, is_main_process
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from resdet.engine.launchers import launcher_of, local_processes, slurm_environment, torchrun_environment
from resdet.engine.meeting import meet
from resdet.errors import LostProcessError, UserError

__all__ = [
    "add_up",
    "average_bn",
    "choose_device",
    "close_processes",
    "distribute",
    "explain_lost_process",
    "gather_objects",
    "get_rank",
    "get_world_size",
    "images_per_pass",
    "is_main_process",
    "join_processes",
    "no_gradient_exchange",
    "seed_step",
]

T = TypeVar("T")


def join_processes(launcher: str, device: str) -> torch.device:
    """Join the process group, if there are several processes, and select this process's device.

    Args:
        launcher: what started the processes: "auto" (what the environment says), "none" (there is one), "pytorch"
            (torchrun) or "slurm" (srun).
        device: "auto" (a GPU if there is one), "cpu", "cuda" or, for one process alone, "cuda:1".

    Returns:
        The device; a GPU is also made the current one.

    Raises:
        UserError: an unknown device, no GPU or too few, no launcher's environment, or the other processes do not come.
    """
    launcher = launcher_of(launcher)
    if launcher == "slurm":
        slurm_environment()
    if launcher != "none":
        torchrun_environment()
    chosen = choose_device(device, launcher)
    if launcher != "none" and not dist.is_initialized():  # an earlier run of this program may have joined
        meet("nccl" if chosen.type == "cuda" else "gloo")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return chosen


def choose_device(device: str, launcher: str = "none") -> torch.device:
    """This process's device.

    Args:
        device: "auto" (a GPU if there is one), "cpu", "cuda" or, for one process alone, "cuda:1".
        launcher: "pytorch" and "slurm": of several processes, each takes the GPU of its number on this machine.

    Raises:
        UserError: an unknown device, no such GPU, or more processes than GPUs.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UserError(f"--device {device}: give auto, cpu, cuda or cuda:1")
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError(f"--device {device}: torch sees no GPU here; use --device cpu, or look at nvidia-smi")
    count, several = torch.cuda.device_count(), launcher != "none" and int(os.environ["WORLD_SIZE"]) > 1
    if ":" in device:
        index = int(device[5:])
        if several:
            raise UserError(f"--device {device}: each of several processes has a GPU of its own; give --device cuda")
        if index >= count:
            raise UserError(f"--device {device}: torch sees {count} GPU(s) here, cuda:0 to cuda:{count - 1}")
        return torch.device("cuda", index)
    if launcher == "slurm" and count == 1:  # with --gpus-per-task 1 each process sees only its own
        return torch.device("cuda", 0)
    local = int(os.environ.get("LOCAL_RANK", 0)) if several else 0
    if several and max(local + 1, local_processes()) > count:
        raise UserError(
            f"{max(local + 1, local_processes())} processes on this machine, but torch sees {count} GPU(s): start one "
            "process per GPU, or give --device cpu"
        )
    return torch.device("cuda", local)


def seed_step(seed: int, step: int) -> None:
    """Give every process but the main one random numbers of its own for this step (only VGG's dropout draws any).

    They depend on the step alone, so that a resumed run has the same without the states of all processes being saved.
    The main process goes on with its generator, whose state checkpoints hold.

    Args:
        seed: of the run.
        step: optimizer steps done.
    """
    if get_rank() > 0:
        keys = [seed % 2**64, step, get_rank()]
        torch.manual_seed(int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0]))


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
        raise UserError(
            f"{key}={images} cannot be divided by {parts} (loop.accumulate x processes) evenly: set "
            f"{key}={-(-images // parts) * parts}; rate and steps follow where the config has reference_images"
        )
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


def average_bn(module: nn.Module) -> None:
    """Average the running means and variances of all BN layers in training mode over the processes, in place.

    Plain means of both, which makes them those of one process with ghost batches as large as a process's part of a step
    (nets/ghost_bn.py): a running variance is an average of variances within batches, and gains nothing between them.
    """
    if get_world_size() == 1:
        return
    layers = (m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training)
    found = [t for layer in layers for t in (layer.running_mean, layer.running_var) if t is not None]
    if not found:
        return
    joined = torch.cat(found)
    dist.all_reduce(joined)
    torch._foreach_copy_(found, (joined / get_world_size()).split([len(tensor) for tensor in found]))


@contextmanager
def explain_lost_process() -> Iterator[None]:
    """Explain a failed exchange between processes: one of them has died.

    Raises:
        LostProcessError: replaces the error of NCCL or gloo.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, LostProcessError):
            raise
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        if get_world_size() == 1 or not (isinstance(error, dist.DistError) or "gloo" in text):
            raise
        raise LostProcessError(
            f"process {get_rank()} of {get_world_size()} has lost another one ({text}): the other's error is above "
            "or in its log; go on with --resume (given from the start, torchrun --max-restarts N goes on by itself)"
        ) from error


def close_processes() -> None:
    """Leave the process group; without this torch warns at exit."""
    if dist.is_initialized():
        dist.destroy_process_group()


def distribute(model: nn.Module, device: torch.device) -> nn.Module:
    """Wrap a model in DistributedDataParallel; with one process it is returned as it is.

    Buffers are not copied from the main process before each forward pass: `average_bn` keeps those of BN equal.
    """
    if get_world_size() == 1:
        return model
    ids = [device.index] if device.type == "cuda" else None
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # torch < 2.13
    buffers: dict[str, Any] = {name: False}
    return DistributedDataParallel(model, device_ids=ids, **buffers)


def no_gradient_exchange(model: nn.Module, wanted: bool) -> AbstractContextManager[Any]:
    """A context in which a distributed model does not exchange gradients, if `wanted`.

    For accumulated passes: all but the last one of a step.
    """
    return model.no_sync() if wanted and isinstance(model, DistributedDataParallel) else nullcontext()
