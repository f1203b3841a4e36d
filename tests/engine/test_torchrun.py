"""A process that fails ends all others soon, and torchrun's restart gives the bits of a run that nothing disturbed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from helpers.failing import failing_config, losses_in
from helpers.paths import ROOT
from helpers.processes import LOST_OR_TERMINATED, free_port, processes_of, torchrun
from resdet.engine.checkpoint import read_checkpoint

RAISES, KILLED = 'raise RuntimeError("a loader fails")', "os.kill(os.getppid(), signal.SIGKILL)"


def training(config: Path, work_dir: Path) -> list[object]:
    """The script and arguments of a training of ten steps with a loader process per process."""
    options = ["data.images=4", "data.workers=1", "schedule.steps=10", "loop.log_every=1", "precise_bn.images=0"]
    arguments = ["--work-dir", work_dir, "--device", "cpu", "--precision", "fp32", "--resume"]
    return [ROOT / "tools" / "train_cls.py", config, *arguments, "--cfg-options", *options]


@pytest.mark.slow
@pytest.mark.parametrize("failure", [RAISES, KILLED], ids=["raises", "killed"])
def test_all_processes_end_soon_after_one_fails(failure: str, tmp_path: Path, cls_config: Path) -> None:
    config = failing_config(tmp_path, cls_config, failure)
    process = torchrun("--standalone", "--nproc-per-node", 2, *training(config, tmp_path / "run"), folder=tmp_path)
    said = process.communicate(timeout=240)[0]
    seconds = time.time() - (tmp_path / "failed").stat().st_mtime
    assert process.returncode != 0
    assert LOST_OR_TERMINATED.search(said), said
    assert seconds < 20
    assert processes_of(tmp_path) == []


@pytest.mark.heavy
def test_two_machines_restart_a_run_to_the_same_bits(tmp_path: Path, cls_config: Path) -> None:
    """Two torchruns on this machine, as on two: whichever notices first, all processes start again."""
    config = failing_config(tmp_path, cls_config, RAISES)
    restarted = []
    for name in ("disturbed", "undisturbed"):
        meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{free_port()}", "--rdzv-id", name]
        words = ["--nnodes", 2, *meeting, "--nproc-per-node", 1, "--max-restarts", 3]
        nodes = [torchrun(*words, *training(config, tmp_path / name), folder=tmp_path) for _ in range(2)]
        said = [node.communicate(timeout=400)[0] for node in nodes]
        assert [node.returncode for node in nodes] == [0, 0], "\n".join(said)
        restarted.append("resumed at step" in "".join(said))
    assert restarted == [True, False]
    assert [step for step, _ in losses_in(tmp_path / "disturbed")] == list(range(1, 11))
    assert losses_in(tmp_path / "disturbed") == losses_in(tmp_path / "undisturbed")
    one, other = (read_checkpoint(tmp_path / n / "last.pth") for n in ("disturbed", "undisturbed"))
    for part in ("model", "optimizer"):
        torch.testing.assert_close(one[part], other[part], rtol=0, atol=0)
    assert torch.equal(one["rng"], other["rng"])
