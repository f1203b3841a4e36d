"""Let the C library keep the memory that tensors on a CPU free, for the next ones.

keep_freed_memory(device)

By default glibc gives large blocks back to the system when they are freed, and every step of a training gets them anew,
with a page fault for each page: some 30,000 faults and 12 % of the time of a step of cifar10_r20. Each process keeps
its own, also each loader process forked from it.
"""

from __future__ import annotations

import ctypes
import os
import platform

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h, see mallopt(3)
KEPT = 2**30  # bytes at the end of the heap that are kept
LARGEST = 2**25  # bytes of the largest block that comes from the heap; glibc takes no larger value on 64-bit systems
VARIABLES = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"


def keep_freed_memory(device: torch.device) -> bool:
    """Make glibc keep up to 1 GiB at the end of the heap for the rest of the process, if it computes on a CPU.

    Nothing changes with another C library, or where one of `VARIABLES` is set in the environment.

    Args:
        device: that the process computes on.

    Returns:
        Whether it is kept.
    """
    if device.type != "cpu" or platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in VARIABLES):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, KEPT))


def give_back() -> None:
    """Return freed memory that glibc keeps to the system, so that what is held from now on can be measured."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
