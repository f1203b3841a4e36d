"""Memory that a run on a CPU frees is kept for the next step, and does not count where a peak is measured."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from resdet.engine.allocator import VARIABLES, keep_freed_memory

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or "LD_PRELOAD" in os.environ,
    reason="only glibc's allocator keeps memory",
)

# `fill` allocates and frees blocks of 24 MiB with the functions that torch uses; figures are MiB.
SCRIPT = """
import ctypes, re, sys
from pathlib import Path
import torch
from resdet.engine.memory import forget_peak, peak_gib
from resdet.engine.run import RunOptions, start_run

libc, size, cpu = ctypes.CDLL(None), 24 * 2**20, torch.device("cpu")
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def held():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

def fill(count):
    blocks = [libc.malloc(size) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in reversed(blocks):
        libc.free(block)

def kept():
    before = held()
    fill(5)
    return held() - before

without = kept()
start_run(sys.argv[1], RunOptions(device="cpu"))
with_run = kept()
fill(30)
forget_peak(cpu)
before = held()
fill(15)
print(without, with_run, 1024 * peak_gib(cpu) - before)
"""


def test_a_run_keeps_what_it_frees_and_the_next_peak_does_not_contain_it(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    without, with_run, peak = map(float, done.stdout.splitlines()[-1].split())
    assert without < 24
    assert with_run > 100  # of 120
    assert 330 < peak < 390  # 15 blocks are 360, also after 30


@pytest.mark.parametrize("name", VARIABLES)
def test_what_the_user_chose_in_the_environment_holds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "131072")
    assert not keep_freed_memory(torch.device("cpu"))


def test_on_a_gpu_nothing_is_changed() -> None:
    assert not keep_freed_memory(torch.device("cuda"))
