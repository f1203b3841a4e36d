"""A run of several trainings: each has a folder in the run's, with its scalars.json and last.pth.

runs = [run_of_stage(run, name) for name in ("1_rpn", "2_head")]
if run.resume is None:
    forget_checkpoints(runs)
...                                                # each trains with its own run; --resume finds the finished ones
publish_checkpoints(runs[-1].work_dir, run.work_dir)
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from resdet.engine.checkpoint import LAST, PREVIOUS
from resdet.engine.distributed import gather_objects, is_main_process
from resdet.engine.run import Run


def run_of_stage(run: Run, folder: str) -> Run:
    """The run of one training, which has a folder of its own."""
    return replace(run, work_dir=run.work_dir / folder, whole=run.work_dir)


def forget_checkpoints(runs: Sequence[Run]) -> None:
    """A new run does not go on with an older one's stages when it is resumed."""
    if is_main_process():
        for run in runs:
            for name in (LAST, PREVIOUS):
                (run.work_dir / name).unlink(missing_ok=True)
    gather_objects([])  # no process looks for them before they are gone


def publish_checkpoints(stage: Path, folder: Path) -> None:
    """Copy a stage's checkpoints to the run's own folder, whole or not at all."""
    for name in (LAST, "best.pth"):
        if (stage / name).is_file():
            shutil.copyfile(stage / name, folder / f".{name}.partial")
            (folder / f".{name}.partial").replace(folder / name)
