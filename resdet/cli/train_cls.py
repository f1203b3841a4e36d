"""Train a classifier: the embedded set by default, any config otherwise."""

from __future__ import annotations

import argparse
from statistics import mean, stdev

from resdet.cli.common import (
    add_run_arguments,
    config_and_run,
    end_dry_run,
    folder_of_run,
    run_command,
    write_json,
)
from resdet.engine.distributed import is_main_process
from resdet.errors import UserError
from resdet.recipes.classification.training import train_classifier

DEFAULT = "shapes_cls"


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/train_cls.py and resdet-train-cls."""
    run_command(_train, arguments)


def _train(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", help=f"a config file or the name of one (default: {DEFAULT})")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="so many, with the seeds from --seed on")
    add_run_arguments(parser)
    args = parser.parse_args(arguments)
    if args.runs < 1:
        raise UserError(f"--runs {args.runs}: give a number of runs, 1 or more")
    if args.runs > 1:
        _train_several(args)
        return
    cfg, run = config_and_run(args, DEFAULT)
    figures = train_classifier(cfg, run)
    write_json(args.json, figures)
    if not is_main_process():
        return
    for name, value in figures.items():
        print(f"{name} {value:.2f}")
    print(f"checkpoint {run.work_dir / 'last.pth'}")
    end_dry_run(args, run.work_dir)


def _train_several(args: argparse.Namespace) -> None:
    """Best, mean and standard deviation over seeds, as Table 6 gives them; each run has a folder of its own."""
    parent, first = folder_of_run(args, DEFAULT), args.seed
    found: dict[str, list[float]] = {}
    for seed in range(first, first + args.runs):
        args.seed, args.work_dir = seed, parent / f"seed{seed}"
        cfg, run = config_and_run(args, DEFAULT)
        for key, value in train_classifier(cfg, run).items():
            found.setdefault(key, []).append(value)
    summary = {k: {"best": min(v), "mean": mean(v), "std": stdev(v)} for k, v in found.items()}
    write_json(args.json, {"seeds": list(range(first, first + args.runs)), **found, "summary": summary})
    if not is_main_process():
        return
    for key, s in summary.items():
        print(f"{key} best {s['best']:.2f} (mean {s['mean']:.2f} +- {s['std']:.2f}, {args.runs} runs)")
    end_dry_run(args, parent)


if __name__ == "__main__":
    main()
