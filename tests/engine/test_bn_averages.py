"""BN's running averages of several processes through a resume and in a moving average of the weights.

That they are the means of all processes, as one process with ghost batches has them, is in test_processes.py.
"""

from __future__ import annotations

from pathlib import Path

import torch

from helpers.processes import run_processes
from resdet.engine.checkpoint import read_checkpoint


def test_a_resumed_run_of_two_processes_has_the_same_averages(tmp_path: Path, cls_config: Path) -> None:
    def train(folder: str, steps: int, *more: str) -> None:
        options = ["precise_bn.images=0", "loop.ema=0.5", f"schedule.steps={steps}"]
        run_processes(2, "train-cls", cls_config, "--work-dir", tmp_path / folder, *more, "--cfg-options", *options)

    train("whole", 3)
    train("parts", 2)
    train("parts", 3, "--resume")
    whole, parts = (read_checkpoint(tmp_path / folder / "last.pth") for folder in ("whole", "parts"))
    for entry in ("model", "raw_model"):  # the average of the weights, and the weights
        for name, tensor in whole[entry].items():
            assert torch.equal(parts[entry][name], tensor), (entry, name)
    name = "net.conv1.bn.running_mean"
    assert not torch.equal(whole["model"][name], whole["raw_model"][name])
