"""What every command that trains or evaluates shares: folder, device, precision, seed, processes."""

from __future__ import annotations

import logging
import platform
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
import torchvision

from resdet.engine.distributed import get_rank, join_processes
from resdet.engine.log import start_logging
from resdet.engine.precision import Precision, fast_precision
from resdet.errors import UserError


@dataclass(frozen=True)
class Run:
    """One run on this process.

    work_dir: checkpoints, logs, figures and pictures go here.
    resume: "auto", a checkpoint's path, or None.
    init_from: weights to start from (weights/weights.py names the origins), or None.
    backends: where figures go besides scalars.json (engine/log.py).
    compile: the mode to compile the net with (engine/compiled.py), or None.
    whole: the folder of the whole run, where work_dir is that of one of its trainings; None: there is but one.
    """

    work_dir: Path
    device: torch.device
    precision: Precision
    seed: int = 0
    resume: str | None = None
    init_from: str | None = None
    backends: Sequence[str] = ()
    command: str = ""
    compile: str | None = None
    whole: Path | None = None


def start_run(
    work_dir: str | Path,
    device: str = "auto",
    precision: Precision | None = None,
    seed: int = 0,
    launcher: str = "none",
    resume: str | None = None,
    init_from: str | None = None,
    backends: Sequence[str] = (),
    command: str = "",
    compile: str | None = None,
    log: str = "run",
) -> Run:
    """Join the processes, choose the device, seed the generators, start the log (WORK_DIR/LOG.log).

    precision: None takes the fast one of the device (bf16 where it multiplies faster).
    """
    chosen = join_processes(launcher, device)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    work_dir = Path(work_dir)
    make_folder(work_dir)
    start_logging(work_dir, log)
    fast = precision or fast_precision(chosen)
    run = Run(work_dir, chosen, fast, seed, resume, init_from, backends, command, compile)
    facts = ", ".join(f"{k} {v}" for k, v in environment(run).items())
    logging.getLogger("resdet").info("%s", facts)
    return run


def make_folder(path: Path) -> None:
    """Make a folder for results.

    Raises:
        UserError: there is a file of that name, or no permission.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be made ({error.strerror}); choose another folder") from error


def same_classes(ours: Sequence[str], theirs: Sequence[str], where: str) -> None:
    """Refuse two lists of classes that differ: label k would mean two things.

    where: whose lists they are, for the message.
    """
    if tuple(ours) == tuple(theirs):
        return
    differing = [f"{a!r} and {b!r}" for a, b in zip_longest(ours, theirs) if a != b]
    raise UserError(f"{where} have different classes: {differing[0]}; give both the same list, in the same order")


def environment(run: Run) -> dict[str, str]:
    """The machine and the versions, for the log and the page."""
    gpu = torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else ""
    return {
        "device": gpu or f"CPU ({_processor()}, {torch.get_num_threads()} threads)",
        "precision": run.precision,
        "seed": str(run.seed),
        "process": str(get_rank()),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
