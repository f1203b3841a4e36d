"""Train a detector: the embedded set by default, any config otherwise."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.common import add_run_arguments, config_and_run, end_dry_run, run_command, write_json
from resdet.errors import UserError
from resdet.recipes.detection.train import train_detector

TRUNK = Path("runs/shapes_cls/last.pth")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/train_det.py and resdet-train-det."""
    run_command(_train, arguments)


def _train(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", help="a config file or the name of one (default: shapes_det)")
    add_run_arguments(parser)
    args = parser.parse_args(arguments)
    if args.config is None and not (args.dry_run or args.init_from or args.resume or TRUNK.is_file()):
        raise UserError(
            f"the embedded set's trunk, {TRUNK}, is not there: run tools/train_cls.py first, about a minute"
        )
    cfg, run = config_and_run(args, "shapes_det")
    evaluation = train_detector(cfg, run)
    write_json(args.json, evaluation.logged)
    end_dry_run(args, run.work_dir)


if __name__ == "__main__":
    main()
