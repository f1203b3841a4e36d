"""Arguments that the commands share, and the end of every user's mistake: one line, exit code 2."""

from __future__ import annotations

import argparse
import errno
import json
import math
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction

from resdet.dry_run.shrink import make_small, refuse_other_folders
from resdet.engine.config import load_config
from resdet.engine.distributed import close_processes, is_main_process
from resdet.engine.run import Run, start_run
from resdet.errors import UserError

# What torch, its allocators and its loader say when memory ends.
MEMORY = re.compile(
    r"out of memory|can't allocate memory|insufficient shared memory|signal: (Killed|Bus)", re.IGNORECASE
)
LESS_MEMORY = (
    "too little memory; lower data.images (loop.accumulate keeps the step's size), data.resizer.short and .long, "
    "model.head.regions, or data.workers; --precision bf16 takes less than fp32"
)
REMEDIES = {
    errno.EACCES: "change the permissions, or choose another folder",
    errno.EPERM: "change the permissions, or choose another folder",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOSPC: "make room; --resume goes on from the last checkpoint",
    errno.EDQUOT: "make room; --resume goes on from the last checkpoint",
}


def run_command(command: Callable[[list[str] | None], None], arguments: list[str] | None = None) -> None:
    """Call a command; a UserError, or too little memory, space or permission, is one line, and exit code 2."""
    try:
        command(arguments)
    except UserError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror}; {REMEDIES[error.errno]}", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        print(f"error: {_first_line(error)}: {LESS_MEMORY}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        close_processes()


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What train_cls and train_det share, from --dry-run to --json."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="the whole job in seconds: a narrow net, some steps, noise in the data's own layout, a temporary folder",
    )
    parser.add_argument("--work-dir", type=Path, help="where checkpoints, logs and the page go (runs/CONFIG)")
    parser.add_argument(
        "--resume", nargs="?", const="auto", metavar="F", help="go on from the run's last checkpoint, or from F"
    )
    parser.add_argument("--init-from", metavar="F", help="weights to start from, of any known origin")
    add_device_arguments(parser)
    add_compile(parser)
    add_launcher(parser)
    add_config_options(parser)
    add_json(parser)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """--device, --seed, --precision."""
    parser.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1 ...")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--precision", choices=["fp32", "bf16", "fp16"], help="default: bf16 where the device multiplies it faster"
    )


def add_compile(parser: argparse.ArgumentParser) -> None:
    """--compile [MODE]."""
    parser.add_argument(
        "--compile",
        nargs="?",
        const="default",
        choices=["default", "reduce-overhead", "max-autotune"],
        help="torch.compile the net: slow first steps, for a GPU; reduce-overhead replays CUDA graphs, which shows in "
        "nets as small as CIFAR's",
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """--launcher."""
    choices = ["none", "pytorch", "slurm"]
    parser.add_argument("--launcher", choices=choices, default="none", help="who started the processes")


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """--cfg-options."""
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, default={}, metavar="K=V", help="such as schedule.steps=100"
    )


def add_test_arguments(parser: argparse.ArgumentParser) -> None:
    """What the commands that test a checkpoint share: --launcher, --device ... --json."""
    add_launcher(parser)
    add_device_arguments(parser)
    add_config_options(parser)
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")


def config_and_run(args: argparse.Namespace, default_config: str) -> tuple[Config, Run]:
    """Read the config that the arguments name and start its run; a dry run's config is made small."""
    cfg = load_config(args.config or default_config, args.cfg_options)
    work_dir = folder_of_run(args, default_config)
    if args.dry_run:
        refuse_other_folders(work_dir)
    run = start_run(
        work_dir,
        args.device,
        args.precision,
        args.seed,
        args.launcher,
        args.resume,
        None if args.dry_run else args.init_from or cfg.get("init_from"),
        () if args.dry_run else cfg.get("log_backends", ()),
        shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        args.compile,
    )
    return make_small(cfg, work_dir / "data") if args.dry_run else cfg, run


def folder_of_run(args: argparse.Namespace, default_config: str) -> Path:
    """--work-dir, else runs/CONFIG; of a dry run a new temporary folder.

    Raises:
        UserError: a dry run has --init-from, or several processes and no --work-dir.
    """
    name = Path(args.config or default_config).stem
    if not args.dry_run:
        return args.work_dir or Path("runs") / name
    if args.init_from:
        raise UserError(f"--init-from {args.init_from} does not fit a dry run's narrow net; leave one of the two out")
    if args.work_dir:
        return args.work_dir
    if args.launcher != "none":
        raise UserError("--dry-run of several processes needs --work-dir, a folder that all of them see")
    return Path(tempfile.mkdtemp(prefix=f"{name}-dry-run-"))


def end_dry_run(args: argparse.Namespace, folder: Path) -> None:
    """Say below a dry run's figures what they are, and where all is."""
    if args.dry_run and is_main_process():
        print(f"dry run: the job works, its figures mean nothing; all of it is in {folder}")


def folder_of(checkpoint: Path) -> Path:
    """A checkpoint's folder, where the test's log goes."""
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: no such checkpoint; train one, or give the path of last.pth in a run")
    return checkpoint.parent


def folder_of_weights(weights: Path) -> Path:
    """A weights file's folder, where the test's log goes; a temporary one for a name that torchvision downloads."""
    if weights.parent == Path() and not weights.exists():
        return Path(tempfile.mkdtemp(prefix=f"{weights.name}-"))
    return folder_of(weights)


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart: seed0; or cifar10_r20/seed0 and cifar10_r56/seed0.

    Raises:
        UserError: one path is there twice.
    """
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-length:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"{paths[-1]}: one of these is there twice: {', '.join(map(str, paths))}; give each once")


def write_json(path: Path | None, figures: dict[str, Any]) -> None:
    """Write figures where --json asked for them; on the main process only."""
    if path is None or not is_main_process():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_finite(figures), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise UserError(f"--json {path} cannot be written: {error.strerror}") from error


def _one_line(error: UserError) -> str:
    """The message; of an error that a loader's worker raised, without the worker's traceback."""
    text = str(error)
    if not text.startswith("Caught UserError in DataLoader worker"):
        return text
    return text.strip().splitlines()[-1].partition("UserError: ")[2]


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or MEMORY.search(str(error)) is not None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _finite(value: Any) -> Any:
    """JSON has no NaN: None stands for a figure that is not defined."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
