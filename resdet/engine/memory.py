"""The most memory that this process has used since it was last asked.

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
    """Start anew. Where the system cannot (no Linux), the peak stays that of the whole process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        RESET.write_text("5")  # proc(5): resets VmHWM
    except OSError:
        return


def peak_gib(device: torch.device) -> float:
    """Allocated on a GPU, resident on a CPU; loader processes aside."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()) if STATUS.is_file() else None
    if found:
        return int(found[1]) / 2**20
    unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, others KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
