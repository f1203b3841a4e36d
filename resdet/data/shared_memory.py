"""Shared memory (/dev/shm), through which loader processes hand over batches: how much there is, how much is needed.

Docker gives a container 64 MB unless it is told otherwise; a batch of 256 crops for ImageNet has 39.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

SHM = Path("/dev/shm")
PAGE = 4096  # bytes
LOCKS = 2**20  # bytes: more than the semaphores of a loader's queues take
IN_USE = 2  # batches: the one that is trained on, and the next one that has arrived
REMEDY = "give a container more (docker run --shm-size 8g, or --ipc=host)"

logger = logging.getLogger("resdet")


def loaders_that_fit(workers: int, prefetch: int, batch_bytes: int) -> tuple[int, int]:
    """How many loader processes, and batches that each prepares ahead, /dev/shm has room for; a warning if fewer.

    Args:
        workers: loader processes asked for.
        prefetch: batches that each of them prepares ahead.
        batch_bytes: bytes of a batch.

    Returns:
        (workers, prefetch), both as asked if they fit or the system has no /dev/shm; (0, 0): no room for any.
    """
    if not SHM.is_dir() or not workers:
        return workers, prefetch
    free, share = _room()
    batches = max(0, min(free, share) // max(1, batch_bytes) - IN_USE)
    if batches >= workers * prefetch:
        return workers, prefetch
    fewer = min(workers, batches)
    ahead = min(prefetch, batches // fewer) if fewer else 0
    instead = f"{fewer} processes, {ahead} batches each, load instead" if fewer else "this process loads by itself"
    logger.warning(
        "%s has %s for this process, but data.workers=%d with %d batches of %s each need %s: %s, which is slower; %s, "
        "or set data.workers=0", SHM, _size(min(free, share)), workers, prefetch, _size(batch_bytes),
        _size((workers * prefetch + IN_USE) * batch_bytes), instead, REMEDY,
    )  # fmt: skip
    return fewer, ahead


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """All tensors of a batch: of its dataclasses, sequences and mappings."""
    if isinstance(value, torch.Tensor):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from tensors_in(part)


def bytes_of(batch: Any) -> int:
    """Bytes that a batch takes in shared memory, in whole pages per tensor."""
    storages = {s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in tensors_in(batch))}
    return sum(-(-count // PAGE) * PAGE for count in storages.values())


def remove_partial_files() -> None:
    """Remove the files that torch leaves in /dev/shm where they did not fit; it has unlinked all that are in use."""
    for path in SHM.glob(f"torch_{os.getpid()}_*"):
        path.unlink(missing_ok=True)


def _room() -> tuple[int, int]:
    """Bytes that are free, and this process's share of all: the processes of a machine fill theirs at the same time."""
    status = os.statvfs(SHM)
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    free, whole = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    return max(0, free - LOCKS), max(0, whole // max(1, int(local)) - LOCKS)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
