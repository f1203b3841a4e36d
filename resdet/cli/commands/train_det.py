"""Run train-det: train a detector."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.train_det import DEFAULT_CONFIG
from resdet.cli.common.automatic import automatic_of
from resdet.cli.common.output import write_json
from resdet.cli.common.run import config_and_run, end_dry_run
from resdet.errors import UserError
from resdet.recipes.detection.alternating import train_alternating
from resdet.recipes.detection.trainer import train_jointly

TRUNK = Path("runs/shapes_cls/last.pth")


def run(args: argparse.Namespace) -> None:
    """Train, evaluate, and write figures, pictures and the page."""
    if args.config is None and not (
        args.dry_run or args.init_from or args.resume or args.print_config or TRUNK.is_file()
    ):
        raise UserError(
            f"the embedded set's trunk, {TRUNK}, is not there: run 'resdet train-cls' first, about a minute"
        )
    automatic = automatic_of(args)
    cfg, started = config_and_run(args, DEFAULT_CONFIG)
    if cfg.get("alternating") and automatic.keys:
        raise UserError(f"{automatic.keys[0]} of four trainings cannot be found at once: give values, or train jointly")
    evaluation = train_alternating(cfg, started) if cfg.get("alternating") else train_jointly(cfg, started, automatic)
    write_json(args.json, evaluation.logged)
    end_dry_run(args, started.work_dir)
