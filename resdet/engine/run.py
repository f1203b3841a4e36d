"""A run: where a program that trains or tests writes, and the device, precision and seed that it computes with.

run = start_run("runs/mine", RunOptions(device="cuda", seed=1))
"""

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
class RunOptions:
    """What a program is asked for; the defaults are those of the command line.

    Args:
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".
        precision: of convolutions and matrix products; None: bf16 where the device computes it faster than fp32.
        seed: of Python's, NumPy's and torch's generators.
        launcher: what started the processes: "none", "pytorch" (torchrun) or "slurm".
        resume: "auto" (the run's last checkpoint), the path of a checkpoint, or None.
        init_from: weights to start from: a file, or the name of weights that torchvision downloads; or None.
        backends: where figures go besides scalars.json: "tensorboard", "wandb", "mlflow".
        command: the command line, for the page.
        compile: mode of torch.compile for the net, or None.
    """

    device: str = "auto"
    precision: Precision | None = None
    seed: int = 0
    launcher: str = "none"
    resume: str | None = None
    init_from: str | None = None
    backends: Sequence[str] = ()
    command: str = ""
    compile: str | None = None


@dataclass(frozen=True)
class Run:
    """A run that was started, in this process.

    Attributes:
        work_dir: folder of checkpoints, logs, figures and pictures.
        device, precision: chosen for this process.
        seed, resume, init_from, backends, command, compile: as in RunOptions.
        whole: folder of the whole run if `work_dir` is that of one of its stages; None: there are no stages.
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


def start_run(work_dir: str | Path, options: RunOptions | None = None, log: str = "run") -> Run:
    """Join the processes, choose the device, seed the random generators, make the folder, start the log.

    Args:
        work_dir: folder of the run.
        options: what was asked for; None: the defaults.
        log: the log is appended to `work_dir`/LOG.log.

    Raises:
        UserError: an option is unknown or does not fit this machine, or the folder cannot be made.
    """
    options = options or RunOptions()
    device = join_processes(options.launcher, options.device)
    random.seed(options.seed)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    work_dir = Path(work_dir)
    make_folder(work_dir)
    start_logging(work_dir, log)
    run = Run(
        work_dir, device, options.precision or fast_precision(device), options.seed, options.resume,
        options.init_from, options.backends, options.command, options.compile,
    )  # fmt: skip
    facts = ", ".join(f"{k} {v}" for k, v in environment(run).items())
    logging.getLogger("resdet").info("%s", facts)
    return run


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it exists.

    Raises:
        UserError: there is a file of that name, or no permission.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be made ({error.strerror}); choose another folder") from error


def same_classes(ours: Sequence[str], theirs: Sequence[str], where: str) -> None:
    """Check that two lists of class names are equal, so that a label means the same in both.

    Args:
        ours: names by label.
        theirs: names by label.
        where: what the two lists belong to, for the message: "data.train and data.test".

    Raises:
        UserError: they differ.
    """
    if tuple(ours) == tuple(theirs):
        return
    differing = [f"{a!r} and {b!r}" for a, b in zip_longest(ours, theirs) if a != b]
    raise UserError(f"{where} have different classes: {differing[0]}; give both the same list, in the same order")


def environment(run: Run) -> dict[str, str]:
    """Device, precision, seed, process and versions by name, for the log and the page."""
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
