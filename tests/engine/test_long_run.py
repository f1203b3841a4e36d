"""A long training with many validations needs no more memory, file descriptors or threads at its end than before."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.configs import write_detector_config
from helpers.runs import run_in
from resdet.recipes.detection.trainer import DetectorTraining, train_jointly
from resdet.recipes.sections import load_config

STEPS, VALIDATIONS = 2000, 30


def resources() -> tuple[float, int, int]:
    """Resident memory in MiB, open files, threads."""
    kib = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kib[1]) / 1024 if kib else 0.0, len(os.listdir("/proc/self/fd")), threading.active_count()


@pytest.mark.heavy
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_memory_files_and_threads_stay_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    seen: list[tuple[float, int, int]] = []
    validate = DetectorTraining.validate

    def observed(self: DetectorTraining, model: nn.Module, images: int = 0) -> dict[str, float]:
        figures = validate(self, model, images)
        seen.append(resources())
        return figures

    monkeypatch.setattr(DetectorTraining, "validate", observed)
    every = STEPS // VALIDATIONS
    options = {"schedule.steps": every * VALIDATIONS, "loop.validate_every": every, "loop.checkpoint_every": 100}
    cfg = load_config(write_detector_config(tmp_path), {**options, "loop.log_every": 50, "data.workers": 1})
    train_jointly(cfg, run_in(tmp_path / "run"))
    print("MiB, files, threads after validations 5, 15 and 30:", seen[4], seen[14], seen[-1])
    assert len(seen) == VALIDATIONS
    assert seen[-1][0] < seen[4][0] + 20
    # The training's prefetching worker may be about to hand over a batch: two descriptors and a thread, for a moment.
    assert seen[-1][1] <= seen[4][1] + 2
    assert seen[-1][2] <= seen[4][2] + 1
