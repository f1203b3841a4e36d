"""Tests of Triton kernels: on a GPU, and on a CPU in Triton's interpreter, in a process of its own.

Importing it skips a module of tests where Triton is not installed.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers.paths import ROOT

triton = pytest.importorskip("triton")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
needs_gpu = pytest.mark.skipif(INTERPRETED or not torch.cuda.is_available(), reason="no GPU")
needs_kernel = pytest.mark.skipif(
    not (INTERPRETED or torch.cuda.is_available()), reason="no GPU; test_all_in_the_interpreter runs this on the CPU"
)
_OLD = tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7) and np.lib.NumpyVersion(np.__version__) >= "2.4.0"


def run_in_interpreter(file: str) -> None:
    """Run a file's tests with their kernels in the interpreter; the calling test fails if one does, with the output."""
    if INTERPRETED:
        pytest.skip("this is the interpreter's process")
    if _OLD:
        pytest.skip("the interpreter of Triton 3.6 fails with numpy 2.4")
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", file]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
