"""Memory that a run on a CPU frees is used again: glibc does not give it back to the system in every step."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from resdet.engine.allocator import VARIABLES, keep_freed_memory

# A step allocates and frees five blocks of 24 MiB with the functions that torch uses: 30,720 pages of 4 KiB.
SCRIPT = """
import ctypes, resource, sys
from resdet.engine.run import RunOptions, start_run

libc, size = ctypes.CDLL(None), 24 * 2**20
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def faults_per_step():
    for step in range(13):
        if step == 3:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [libc.malloc(size) for _ in range(5)]
        for block in blocks:
            ctypes.memset(block, 1, size)
        for block in reversed(blocks):
            libc.free(block)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10

before = faults_per_step()
start_run(sys.argv[1], RunOptions(device="cpu"))
print(before, faults_per_step())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_a_run_gets_no_new_pages_in_every_step(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    before, after = map(int, done.stdout.splitlines()[-1].split())
    assert after < 100 < 10_000 < before


@pytest.mark.parametrize("name", VARIABLES)
def test_what_the_user_chose_in_the_environment_holds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "131072")
    assert not keep_freed_memory(torch.device("cpu"))
