"""Begin the run that a command line asks for."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from resdet.cli.common.config import config_of
from resdet.dry_run.shrink import make_small, refuse_other_folders
from resdet.engine.config import Config
from resdet.engine.distributed import is_main_process
from resdet.engine.run import Run, RunOptions, start_run
from resdet.errors import UserError


def config_and_run(args: argparse.Namespace, default_config: str) -> tuple[Config, Run]:
    """Load the config of a training and start its run; a dry run's config is made small.

    Args:
        args: the parsed arguments of a training command.
        default_config: the config where none is given.
    """
    cfg = config_of(args, default_config)
    work_dir = folder_of_run(args, default_config)
    if args.dry_run:
        refuse_other_folders(work_dir)
    options = run_options(
        args,
        resume=args.resume,
        init_from=None if args.dry_run else args.init_from or cfg.get("init_from"),
        backends=() if args.dry_run else cfg.get("log_backends", ()),
        command=command_line(),
        compile=args.compile,
    )
    run = start_run(work_dir, options)
    return make_small(cfg, work_dir / "data") if args.dry_run else cfg, run


def run_options(args: argparse.Namespace, **more: Any) -> RunOptions:
    """The options of a run from --device, --precision, --seed and --launcher, and `more` of its fields."""
    return RunOptions(args.device, args.precision, args.seed, args.launcher, **more)


def command_line() -> str:
    """This program's command line, as it could be typed again."""
    program = Path(sys.argv[0]).name
    return shlex.join(["resdet" if program == "__main__.py" else program, *sys.argv[1:]])


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
        return Path(args.work_dir)
    if args.launcher != "none":
        raise UserError("--dry-run of several processes needs --work-dir, a folder that all of them see")
    return Path(tempfile.mkdtemp(prefix=f"{name}-dry-run-"))


def end_dry_run(args: argparse.Namespace, folder: Path) -> None:
    """Say below a dry run's figures that they mean nothing, and where its files are."""
    if args.dry_run and is_main_process():
        print(f"dry run: the job works, its figures mean nothing; all of it is in {folder}")


def folder_of(checkpoint: Path) -> Path:
    """The folder of a checkpoint, where a test's log goes.

    Raises:
        UserError: there is no such file.
    """
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: no such checkpoint; train one, or give the path of last.pth in a run")
    return checkpoint.parent


def folder_of_weights(weights: Path) -> Path:
    """The folder of a weights file; a temporary one for a name that torchvision downloads.

    Raises:
        UserError: there is no such file.
    """
    if weights.parent == Path() and not weights.exists():
        return Path(tempfile.mkdtemp(prefix=f"{weights.name}-"))
    return folder_of(weights)
