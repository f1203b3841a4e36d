"""Run ablate: measure the rows of Table 9."""

from __future__ import annotations

import argparse

from resdet.cli.common.config import config_of
from resdet.cli.common.improvements import refuse_configs
from resdet.cli.common.options import parse_options
from resdet.cli.common.output import write_json
from resdet.cli.common.run import run_options
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.recipes.detection.ablate import ablate, print_rows
from resdet.report.ablation import ablation_plot
from resdet.report.plots import save_plot
from resdet.weights.folder import folder_of


def run(args: argparse.Namespace) -> None:
    """Print the rows, and write what the options ask for."""
    for files in args.checkpoint:
        refuse_configs(files)
    cfg = config_of(args)
    started = start_run(folder_of(args.checkpoint[0][0]), run_options(args), log="ablate")
    options = parse_options(args.cfg_options)
    rows = ablate(cfg, args.checkpoint, started, args.scales or (), args.resamples, options)
    if not is_main_process():
        return
    print_rows(rows)
    write_json(args.json, {"rows": {row.name: row.plain() for row in rows}})
    if args.plot:
        save_plot(ablation_plot({row.name: row.figures for row in rows}), args.plot)
