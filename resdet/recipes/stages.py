"""Runs of several stages: each stage has a folder below the run's, with its own scalars.json and last.pth.

runs = [run_of_stage(run, name) for name in ("1_rpn", "2_head")]
...                                                # each stage trains with its run; --resume skips finished ones
publish_checkpoints(runs[-1].work_dir, run.work_dir)
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from resdet.engine.checkpoint import BEST, LAST
from resdet.engine.run import Run


def run_of_stage(run: Run, folder: str) -> Run:
    """The run of one stage, in `folder` below the whole run's folder; both have the same run id."""
    return replace(run, work_dir=run.work_dir / folder, whole=run.work_dir)


def publish_checkpoints(stage: Path, folder: Path) -> None:
    """Copy a stage's last.pth and best.pth, if there are any, to the folder of the whole run, atomically."""
    for name in (LAST, BEST):
        if (stage / name).is_file():
            shutil.copyfile(stage / name, folder / f".{name}.partial")
            (folder / f".{name}.partial").replace(folder / name)
