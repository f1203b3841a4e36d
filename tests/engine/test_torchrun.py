"""A process that fails ends all others soon, and torchrun's restart gives the bits of a run that nothing disturbed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from helpers.paths import ROOT
from helpers.processes import free_port, processes_of, torchrun
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars

FAILING = """
import os, signal
from pathlib import Path

from resdet.data.classification.imagenet import ImageNetDataset


class FailingDataset(ImageNetDataset):
    \"\"\"A loader process of the second process fails at its 13th image, once.\"\"\"

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        marker = Path({marker!r})
        if self.reads == 13 and os.environ.get("RANK") == "1" and not marker.exists():
            marker.touch()
            {failure}
        return super().__getitem__(index)
"""
RAISES, KILLED = 'raise RuntimeError("a loader fails")', "os.kill(os.getppid(), signal.SIGKILL)"


def failing_config(folder: Path, cls_config: Path, failure: str) -> Path:
    """The small classifier's config; the file FOLDER/failed is made when its data set fails."""
    (folder / "failing.py").write_text(FAILING.format(marker=str(folder / "failed"), failure=failure))
    text = cls_config.read_text().replace(
        "import ImageNetDataset", "import ImageNetDataset\nfrom failing import FailingDataset"
    )
    config = folder / "cls.py"
    config.write_text(text.replace("train=dict(type=ImageNetDataset", "train=dict(type=FailingDataset"))
    return config


def training(config: Path, work_dir: Path) -> list[object]:
    """The script and arguments of a training of ten steps with a loader process per process."""
    options = ["data.images=4", "data.workers=1", "schedule.steps=10", "loop.log_every=1", "precise_bn.images=0"]
    arguments = ["--work-dir", work_dir, "--device", "cpu", "--precision", "fp32", "--resume"]
    return [ROOT / "tools" / "train_cls.py", config, *arguments, "--cfg-options", *options]


def losses(work_dir: Path) -> list[tuple[int, float]]:
    return [(r["step"], r["loss"]) for r in read_scalars(work_dir / "scalars.json") if "loss" in r]


@pytest.mark.slow
@pytest.mark.parametrize("failure", [RAISES, KILLED], ids=["raises", "killed"])
def test_all_processes_end_soon_after_one_fails(failure: str, tmp_path: Path, cls_config: Path) -> None:
    config = failing_config(tmp_path, cls_config, failure)
    process = torchrun("--standalone", "--nproc-per-node", 2, *training(config, tmp_path / "run"), folder=tmp_path)
    said = process.communicate(timeout=240)[0]
    seconds = time.time() - (tmp_path / "failed").stat().st_mtime
    assert process.returncode != 0
    assert "error: process 0 of 2 has lost another one" in said, said
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
    assert [step for step, _ in losses(tmp_path / "disturbed")] == list(range(1, 11))
    assert losses(tmp_path / "disturbed") == losses(tmp_path / "undisturbed")
    one, other = (read_checkpoint(tmp_path / n / "last.pth") for n in ("disturbed", "undisturbed"))
    for part in ("model", "optimizer"):
        torch.testing.assert_close(one[part], other[part], rtol=0, atol=0)
    assert torch.equal(one["rng"], other["rng"])
