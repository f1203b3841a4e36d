"""Train a localizer: the embedded set by default (its classifier first, if it is not there), any config otherwise."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.common import add_run_arguments, config_and_run, end_dry_run, run_command, write_json
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import load_config
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.recipes.classification.training import train_classifier
from resdet.recipes.localization.rcnn_build import has_rcnn
from resdet.recipes.localization.training import RCNN, train_localizer

DEFAULT, CLASSIFIER = "shapes_loc_rcnn", "shapes_cls"


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/train_loc.py and resdet-train-loc."""
    run_command(_train, arguments)


def _train(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", help=f"a config file or the name of one (default: {DEFAULT})")
    add_run_arguments(parser)
    args = parser.parse_args(arguments)
    if args.config is None and not (args.dry_run or args.init_from):
        _train_classifier(args)
    cfg, run = config_and_run(args, DEFAULT)
    figures = train_localizer(cfg, run)
    write_json(args.json, figures)
    if is_main_process():
        for name, value in figures.items():
            print(f"{name} {value:.2f}")
        print(f"checkpoint {run.work_dir / 'last.pth'}")
        if has_rcnn(cfg):
            print(f"rcnn {run.work_dir / RCNN / 'last.pth'}")
    end_dry_run(args, run.work_dir)


def _train_classifier(args: argparse.Namespace) -> None:
    """The net that the embedded set's localizer starts from: about a minute, once; one that was stopped goes on."""
    last = Path(load_config(DEFAULT).init_from)
    if last.is_file() and "precise_bn" in read_checkpoint(last):
        return
    run = start_run(last.parent, args.device, args.precision, args.seed, args.launcher, resume="auto")
    train_classifier(load_config(CLASSIFIER), run)


if __name__ == "__main__":
    main()
