"""Run train-loc: train a localizer; for the embedded set also the classifier that it starts from."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.train_cls import DEFAULT_CONFIG as CLASSIFIER_CONFIG
from resdet.cli.arguments.train_loc import DEFAULT_CONFIG
from resdet.cli.common.output import write_json
from resdet.cli.common.run import command_line, config_and_run, end_dry_run, run_options
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.recipes.classification.training import train_classifier
from resdet.recipes.localization.rcnn_build import has_rcnn
from resdet.recipes.localization.training import RCNN, train_localizer
from resdet.recipes.sections import load_config


def run(args: argparse.Namespace) -> None:
    """Train, test, and write figures, pictures and the page."""
    if args.config is None and not (args.dry_run or args.init_from or args.print_config):
        _train_classifier(args)
    cfg, started = config_and_run(args, DEFAULT_CONFIG)
    figures = train_localizer(cfg, started)
    write_json(args.json, figures)
    if is_main_process():
        for name, value in figures.items():
            print(f"{name} {value:.2f}")
        print(f"checkpoint {started.work_dir / 'last.pth'}")
        if has_rcnn(cfg):
            print(f"rcnn {started.work_dir / RCNN / 'last.pth'}")
    end_dry_run(args, started.work_dir)


def _train_classifier(args: argparse.Namespace) -> None:
    """The net that the embedded set's localizer starts from: about a minute, once; an interrupted training goes on."""
    last = Path(load_config(DEFAULT_CONFIG).init_from)
    if last.is_file() and "precise_bn" in read_checkpoint(last):
        return
    options = run_options(args, resume="auto", command=command_line(args, last.parent))
    started = start_run(last.parent, options, exclusive=True)
    train_classifier(load_config(CLASSIFIER_CONFIG), started)
