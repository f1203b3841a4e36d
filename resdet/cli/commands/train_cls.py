"""Run train-cls: train a classifier, once or with several seeds."""

from __future__ import annotations

import argparse
from statistics import mean, stdev

from resdet.cli.arguments.train_cls import DEFAULT_CONFIG
from resdet.cli.common.automatic import automatic_of
from resdet.cli.common.output import write_json
from resdet.cli.common.run import config_and_run, end_dry_run, folder_of_run
from resdet.engine.distributed import is_main_process
from resdet.errors import UserError
from resdet.recipes.classification.training import train_classifier


def run(args: argparse.Namespace) -> None:
    """Train, test, and write figures, pictures and the page."""
    automatic = automatic_of(args)
    if args.runs > 1:
        if automatic.keys:
            raise UserError(f"--runs {args.runs}: each run would find its own {automatic.keys[0]}; find it in one run")
        _train_several(args)
        return
    cfg, started = config_and_run(args, DEFAULT_CONFIG)
    figures = train_classifier(cfg, started, automatic)
    write_json(args.json, figures)
    if not is_main_process():
        return
    for name, value in figures.items():
        print(f"{name} {value:.2f}")
    print(f"checkpoint {started.work_dir / 'last.pth'}")
    end_dry_run(args, started.work_dir)


def _train_several(args: argparse.Namespace) -> None:
    """Best, mean and standard deviation over seeds, as in Table 6; each training has a folder of its own."""
    parent, first = folder_of_run(args, DEFAULT_CONFIG), args.seed
    found: dict[str, list[float]] = {}
    for seed in range(first, first + args.runs):
        args.seed, args.work_dir = seed, parent / f"seed{seed}"
        cfg, started = config_and_run(args, DEFAULT_CONFIG)
        for key, value in train_classifier(cfg, started).items():
            found.setdefault(key, []).append(value)
    summary = {k: {"best": min(v), "mean": mean(v), "std": stdev(v)} for k, v in found.items()}
    write_json(args.json, {"seeds": list(range(first, first + args.runs)), **found, "summary": summary})
    if not is_main_process():
        return
    for key, s in summary.items():
        print(f"{key} best {s['best']:.2f} (mean {s['mean']:.2f} +- {s['std']:.2f}, {args.runs} runs)")
    end_dry_run(args, parent)
