"""cuDNN's choice among its convolution algorithms: by trial for inputs of a fixed size, else by its own rules.

with timed_convolutions(device, wanted=True):
    train()
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def timed_convolutions(device: torch.device, wanted: bool) -> Iterator[None]:
    """A context in which cuDNN times its algorithms once for each shape and takes the fastest.

    The trial costs more than it gains where every batch has another shape, as a detector's have. Which algorithm wins
    may differ between runs, and with it the last bits: none is timed where torch was asked to be deterministic.

    Args:
        device: where the convolutions run; on a CPU nothing changes.
        wanted: whether all inputs have the same few sizes.
    """
    flags, before = torch.backends.cudnn, torch.backends.cudnn.benchmark
    asked = torch.are_deterministic_algorithms_enabled() or flags.deterministic
    if device.type == "cuda" and wanted and not asked:
        flags.benchmark = True
    try:
        yield
    finally:
        flags.benchmark = before
