"""Runs of several stages: each stage has a folder below the run's, with its own scalars.json and last.pth.

runs = [run_of_stage(run, name) for name in ("1_rpn", "2_head")]
if run.resume is None:
    forget_checkpoints(runs)
...                                                # each stage trains with its run; --resume skips finished ones
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
    """The run of one stage, in the folder `folder` of the whole run's."""
    return replace(run, work_dir=run.work_dir / folder, whole=run.work_dir)


def forget_checkpoints(runs: Sequence[Run]) -> None:
    """Delete the checkpoints of an older run, so that a later --resume of a new run cannot find them."""
    if is_main_process():
        for run in runs:
            for name in (LAST, PREVIOUS):
                (run.work_dir / name).unlink(missing_ok=True)
    gather_objects([])  # wait: no process looks for checkpoints before they are deleted


def publish_checkpoints(stage: Path, folder: Path) -> None:
    """Copy a stage's last.pth and best.pth, if there are any, to the folder of the whole run, atomically."""
    for name in (LAST, "best.pth"):
        if (stage / name).is_file():
            shutil.copyfile(stage / name, folder / f".{name}.partial")
            (folder / f".{name}.partial").replace(folder / name)
