"""Memory of this process: the peak of what it uses, and how much it could have.

forget_peak(device); work(); print(peak_gib(device))
held_peak_gib(device) <= usable_gib(device)
"""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import torch

from resdet.engine.allocator import give_back

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SYSTEM, GROUPS, MOUNTS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
# A group's limit, use and file cache by version of cgroups; the kernel drops the cache when memory is short.
GROUP_FILES = {2: ("memory.max", "memory.current", "inactive_file"),
               1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")}  # fmt: skip


def forget_peak(device: torch.device) -> None:
    """Reset the peak, and return freed memory to the system, which would count as held.

    On a CPU this needs Linux; on other systems the peak covers the whole process.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    give_back()
    try:
        RESET.write_text("5", encoding="utf-8")  # resets VmHWM, see proc(5)
    except OSError:
        return


def peak_gib(device: torch.device) -> float:
    """Peak memory since `forget_peak`, in GiB: allocated by torch on a GPU, resident on a CPU. Loaders do not count."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text(encoding="utf-8")) if STATUS.is_file() else None
    if found:
        return int(found[1]) / 2**20
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def held_peak_gib(device: torch.device) -> float:
    """Peak since `forget_peak` of the memory that no other process can have, in GiB: on a GPU also torch's reserve."""
    return torch.cuda.max_memory_reserved(device) / 2**30 if device.type == "cuda" else peak_gib(device)


def usable_gib(device: torch.device) -> float:
    """All the memory that this process could hold, in GiB: what it holds, and what is free; on a CPU this needs Linux.

    A container's limit (cgroups) and that of the process's addresses (ulimit -v) count as well as the machine's memory.
    """
    if device.type == "cuda":
        return (torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)) / 2**30
    held, free = _entry(STATUS, "VmRSS"), _entry(SYSTEM, "MemAvailable")
    return (held + min([free, *_free_in_groups(), *_free_addresses()])) / 2**30


def can_measure_steps(device: torch.device) -> bool:
    """Whether peaks can be reset, and the free memory is known."""
    if device.type == "cuda":
        return True
    try:
        RESET.write_text("5", encoding="ascii")
    except OSError:
        return False
    return SYSTEM.is_file() and STATUS.is_file()


def _free_addresses() -> list[int]:
    """Free bytes below the limit of this process's addresses, as batch systems set it; empty without one."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return [] if limit == resource.RLIM_INFINITY else [max(0, limit - _entry(STATUS, "VmSize"))]


def _free_in_groups() -> list[int]:
    """Free bytes below the limits of this process's memory cgroup and those above it."""
    found = []
    for line in GROUPS.read_text(encoding="utf-8").splitlines() if GROUPS.is_file() else []:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        version, mount = (1, MOUNTS / "memory") if controllers else (2, MOUNTS)
        own = mount / path.lstrip("/")
        for group in [own, *own.parents]:  # the own path does not exist where a container has its group as the root
            if group.is_relative_to(mount):
                found += _free_in_group(group, *GROUP_FILES[version])
    return found


def _free_in_group(group: Path, limit: str, usage: str, cache: str) -> list[int]:
    try:
        most, used = (group / limit).read_text().strip(), int((group / usage).read_text())
        return [int(most) - used + _entry(group / "memory.stat", cache)] if most.isdecimal() else []  # "max": none
    except OSError:
        return []


def _entry(path: Path, name: str) -> int:
    """The value of a line "name: 123 kB" or "name 123", in bytes."""
    found = re.search(rf"^{name}:?\s+(\d+)( kB)?$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) * (1024 if found[2] else 1) if found else 0
