"""Whether a Triton kernel runs here: on GPUs with Triton, and on CPUs in its interpreter (TRITON_INTERPRET=1)."""

from __future__ import annotations

import importlib
import logging
import os
from functools import cache

import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
logger = logging.getLogger("resdet")


def kernel_runs(module: str, device: str) -> bool:
    """Whether the kernels of a module of this package run on devices of a type.

    The first call for a type runs the module's function ``try_out(device)``; if that raises, one warning says so.

    Args:
        module: its full name.
        device: "cuda", "cpu", ...
    """
    return (device == "cuda" or INTERPRETED) and _tried_out(module, device)


if INTERPRETED or torch.cuda.device_count():  # torch.compile must not trace the trial; otherwise its import is saved
    kernel_runs = torch.compiler.assume_constant_result(kernel_runs)  # type: ignore[no-untyped-call]


@cache
def _tried_out(module: str, device: str) -> bool:
    try:
        importlib.import_module(module).try_out(device)
    except Exception as error:  # no C compiler, a GPU that is too old, a broken installation: whatever Triton raises
        if not (isinstance(error, ModuleNotFoundError) and error.name == "triton"):  # without Triton nothing is broken
            logger.warning(f"the kernels of {module} do not run here, slower code is used: {error}")
        return False
    return True
