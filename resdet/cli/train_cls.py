"""Train a classifier: the embedded set by default, any config otherwise."""

from __future__ import annotations

import argparse

from resdet.cli.common import add_run_arguments, config_and_run, run_command, write_json
from resdet.recipes.train_classifier import train_classifier


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/train_cls.py and resdet-train-cls."""
    run_command(_train, arguments)


def _train(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", help="a config file or the name of one (default: shapes_cls)")
    add_run_arguments(parser)
    args = parser.parse_args(arguments)
    cfg, run = config_and_run(args, "shapes_cls")
    figures = train_classifier(cfg, run)
    write_json(args.json, figures)
    for name, value in figures.items():
        print(f"{name} {value:.2f}")
    print(f"checkpoint {run.work_dir / 'last.pth'}")


if __name__ == "__main__":
    main()
