"""The rows of Table 9 on a config's test set: baseline, + box refinement, + context, + multi-scale testing, ensemble.

ablate.py CONFIG --checkpoint plain.pth context.pth --json ablation.json --plot ablation.svg
ablate.py CONFIG --checkpoint p0.pth c0.pth --checkpoint p1.pth c1.pth        two trainings: means and deviations

A detector with global context is recognised by itself; without one its row is left out. Two or more of the last kind
are the ensemble.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.common import add_test_arguments, folder_of, run_command, write_json
from resdet.cli.testing import refuse_configs
from resdet.engine.config import load_config
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.errors import UserError
from resdet.recipes.detection.ablate import ablate, print_rows
from resdet.report.ablation import ablation_figure
from resdet.report.figures import save_figure


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/ablate.py and resdet-ablate."""
    run_command(_ablate, arguments)


def _ablate(arguments: list[str] | None) -> None:
    args = _parser().parse_args(arguments)
    if args.resamples < 0:
        raise UserError(f"--resamples {args.resamples}: give a number of draws, or 0 for none")
    for files in args.checkpoint:
        refuse_configs(files)
    cfg = load_config(args.config, args.cfg_options)
    run = start_run(
        folder_of(args.checkpoint[0][0]), args.device, args.precision, args.seed, args.launcher, log="ablate"
    )
    rows = ablate(cfg, args.checkpoint, run, args.scales or (), args.resamples)
    if not is_main_process():
        return
    print_rows(rows)
    write_json(args.json, {"rows": {row.name: row.plain() for row in rows}})
    if args.plot:
        save_figure(ablation_figure({row.name: row.figures for row in rows}), args.plot)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a config file or the name of one")
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", action="append", required=True, metavar="F", help="of one training"
    )
    parser.add_argument(
        "--scales", type=int, nargs="+", metavar="PX", help="default: the config's, else like the paper's"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the paired bootstrap; 0: none")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the rows (.svg, .png, .pdf)")
    add_test_arguments(parser)
    return parser


if __name__ == "__main__":
    main()
