"""Peak memory of this process.

forget_peak(device); work(); print(peak_gib(device))
"""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak(device: torch.device) -> None:
    """Reset the peak. On a CPU this needs Linux; on other systems the peak covers the whole process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
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
