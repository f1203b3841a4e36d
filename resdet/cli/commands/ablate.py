"""Run ablate: measure the rows of Table 9."""

from __future__ import annotations

import argparse

from resdet.cli.common.config import config_of
from resdet.cli.common.improvements import refuse_configs
from resdet.cli.common.options import parse_options
from resdet.cli.common.output import write_json
from resdet.cli.common.run import folder_of, run_options
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.errors import UserError
from resdet.recipes.detection.ablate import ablate, print_rows
from resdet.report.ablation import ablation_figure
from resdet.report.figures import save_figure


def run(args: argparse.Namespace) -> None:
    """Print the rows, and write what the options ask for."""
    if args.resamples < 0:
        raise UserError(f"--resamples {args.resamples}: give a number of draws, or 0 for none")
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
        save_figure(ablation_figure({row.name: row.figures for row in rows}), args.plot)
