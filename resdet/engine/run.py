"""A run: where a program that trains or tests writes, and the device, precision and seed that it computes with.

run = start_run("runs/mine", RunOptions(device="cuda", seed=1))
"""

from __future__ import annotations

import logging
import platform
import random
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from resdet.engine.allocator import keep_freed_memory
from resdet.engine.distributed import get_rank, join_processes
from resdet.engine.log import start_logging
from resdet.engine.precision import Precision, fast_precision
from resdet.engine.run_folder import LOG, RunIdentity, lock_folder
from resdet.errors import UserError


@dataclass(frozen=True)
class RunOptions:
    """What a program is asked for; the defaults are those of the command line.

    Args:
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".
        precision: of convolutions and matrix products; None: bf16 where the device computes it faster than fp32.
        seed: of Python's, NumPy's and torch's generators.
        launcher: what started the processes: "auto" (what the environment says), "none", "pytorch" (torchrun), "slurm".
        resume: "auto" (the run's last checkpoint), the path of a checkpoint, or None.
        init_from: weights to start from: a file, or the name of weights that torchvision downloads; or None.
        backends: where figures go besides scalars.json: "tensorboard", "wandb", "mlflow".
        command: the command line, for the page and for what is said about going on.
        compile: mode of torch.compile for the net, or None.
    """

    device: str = "auto"
    precision: Precision | None = None
    seed: int = 0
    launcher: str = "auto"
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
        identity: the run's id and the lock of its folder.
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
    identity: RunIdentity = field(default_factory=RunIdentity, compare=False, repr=False)

    @property
    def id(self) -> str:
        """Names the run in its folder, log and checkpoints; "" before its training has begun."""
        return self.identity.id


def start_run(
    work_dir: str | Path, options: RunOptions | None = None, log: str = "run", exclusive: bool = False
) -> Run:
    """Join the processes, choose the device, seed the random generators, make the folder, start the log.

    On a CPU the process keeps up to 1 GiB of the memory that it frees (`keep_freed_memory`).

    Args:
        work_dir: folder of the run.
        options: what was asked for; None: the defaults.
        log: the log is appended to `work_dir`/LOG.log.
        exclusive: keep other trainings out of the folder from now on (a training does it when it begins at the latest).

    Raises:
        UserError: an option is unknown or does not fit this machine, the folder cannot be made, or it is in use.
    """
    options = options or RunOptions()
    device = join_processes(options.launcher, options.device)
    keep_freed_memory(device)
    random.seed(options.seed)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    work_dir = Path(work_dir)
    make_folder(work_dir)
    identity = RunIdentity()
    if exclusive:
        lock_folder(identity, work_dir)
        identity.log_begin = (work_dir / LOG).stat().st_size if (work_dir / LOG).is_file() else 0
    start_logging(work_dir, log)
    run = Run(
        work_dir, device, options.precision or fast_precision(device), options.seed, options.resume,
        options.init_from, options.backends, options.command, options.compile, identity=identity,
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
    differing = first_difference(ours, theirs)
    raise UserError(f"{where} have different classes: {differing}; give both the same list, in the same order")


def first_difference(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """The first place where two lists of names differ: "'apple' and 'pear'"."""
    return next(f"{a!r} and {b!r}" for a, b in zip_longest(ours, theirs) if a != b)


def how_to_go_on(run: Run) -> str:
    """What to do to go on with an interrupted run: its command line with --resume, to be pasted."""
    if not run.command:
        return f"go on with resume='auto' in {run.whole or run.work_dir}"
    words: list[str] = []
    given = False  # the word before was --resume, which a file may follow
    for word in shlex.split(run.command):
        if word == "--resume" or word.startswith("--resume=") or (given and not word.startswith("-")):
            given = word == "--resume"
            continue
        given = False
        words.append(word)
    return f"go on with: {shlex.join([*words, '--resume'])}"


def environment(run: Run) -> dict[str, str]:
    """Run, device, precision, seed, process and versions by name, for the log and the page."""
    gpu = torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else ""
    return {
        **({"run": run.id} if run.id else {}),
        "device": gpu or f"CPU ({_processor()}, {torch.get_num_threads()} threads)",
        "precision": run.precision,
        "seed": str(run.seed),
        "process": str(get_rank()),
        "Python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": version("torchvision"),  # importing it takes more than a second
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
