"""Begin the run that a command line asks for."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resdet.cli.common.config import config_of, milestones_kept
from resdet.dry_run.shrink import make_small, refuse_other_folders
from resdet.engine.config import Config
from resdet.engine.config_text import config_text
from resdet.engine.distributed import is_main_process
from resdet.engine.launchers import launcher_of
from resdet.engine.log import log_to_file
from resdet.engine.run import Run, RunOptions, start_run
from resdet.errors import UserError
from resdet.recipes.detection.onnx_detector import precision_of
from resdet.weights.folder import folder_of
from resdet.weights.read import find_weights

logger = logging.getLogger("resdet")


def config_and_run(args: argparse.Namespace, default_config: str) -> tuple[Config, Run]:
    """Load the config of a training and start its run; a dry run's config is made small.

    Args:
        args: the parsed arguments of a training command.
        default_config: the config where none is given.
    """
    cfg = config_of(args, default_config, training=True)
    work_dir = folder_of_run(args, default_config)
    if args.dry_run:
        refuse_other_folders(work_dir)
    init_from = None if args.dry_run else args.init_from or cfg.get("init_from")
    if init_from and not args.resume:
        find_weights(init_from)  # before any annotation is read
    options = run_options(
        args,
        resume=args.resume,
        init_from=init_from,
        backends=() if args.dry_run else cfg.get("log_backends", ()),
        command=command_line(args, work_dir),
        compile=args.compile,
    )
    run = start_run(work_dir, options, exclusive=True)
    for warning in [] if args.dry_run else milestones_kept(args, default_config):
        logger.warning("%s", warning)
    cfg = make_small(cfg, work_dir / "data") if args.dry_run else cfg
    log_to_file(f"config:\n{config_text(cfg)}")
    return cfg, run


def run_options(args: argparse.Namespace, **more: Any) -> RunOptions:
    """The options of a run from --device, --precision, --seed and --launcher, and `more` of its fields."""
    return RunOptions(args.device, args.precision, args.seed, args.launcher, **more)


def start_test(args: argparse.Namespace, checkpoints: Sequence[Path], log: str) -> Run:
    """Start the run of a test of a detector, whose log lies beside its file.

    Args:
        args: the parsed arguments, with those of `add_test_arguments`.
        checkpoints: the files of one detector or of an ensemble.
        log: the log's name.

    Raises:
        UserError: the first file does not exist, or an option does not fit the files or this machine.
    """
    options = replace(run_options(args), precision=precision_of(checkpoints, args.precision))
    return start_run(folder_of(checkpoints[0]), options, log=log)


def command_line(args: argparse.Namespace, work_dir: Path) -> str:
    """The command that was given, to be typed again: for the page, and to go on with the run.

    Args:
        args: the parsed arguments; `words` has the subcommand and its arguments as they were given.
        work_dir: folder of the run, added for a dry run, whose folder has a new name each time.
    """
    subcommand, *words = args.words
    if args.dry_run and args.work_dir is None:
        words = ["--work-dir", str(work_dir), *words]
    script = Path(sys.argv[0])
    is_script = script.parent.name == "tools" and script.suffix == ".py"
    alone = ["python", str(script)] if is_script else ["resdet", subcommand]
    if launcher_of(args.launcher) != "pytorch" or os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        return shlex.join([*alone, *words])
    program = [str(script)] if is_script else ["-m", "resdet", subcommand]
    processes = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return shlex.join(["torchrun", "--standalone", "--nproc-per-node", processes, *program, *words])


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
    if launcher_of(args.launcher) != "none":
        raise UserError("--dry-run of several processes needs --work-dir, a folder that all of them see")
    return Path(tempfile.mkdtemp(prefix=f"{name}-dry-run-"))


def end_dry_run(args: argparse.Namespace, folder: Path) -> None:
    """Say below a dry run's figures that they mean nothing, and where its files are."""
    if args.dry_run and is_main_process():
        print(
            "dry run: the job works, on generated images: your data and the weights to start from were not read, its "
            f"figures mean nothing; all of it is in {folder}"
        )
