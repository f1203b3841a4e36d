"""Training and test errors of one or more classifiers' runs, as the paper's Figs. 1, 4 and 6 draw them.

plot_errors.py runs/cifar10_plain20 runs/cifar10_r20 --out errors.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from resdet.cli.common import distinct_names, run_command
from resdet.engine.log import read_scalars
from resdet.errors import UserError
from resdet.report.errors import TEST, TRAIN, error_figure
from resdet.report.figures import save_figure


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/plot_errors.py and resdet-plot-errors."""
    run_command(_plot, arguments)


def _plot(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".png, .svg or .pdf")
    args = parser.parse_args(arguments)
    curves = {name: _read(run) for name, run in zip(distinct_names(args.runs), args.runs, strict=True)}
    save_figure(error_figure(curves), args.out)
    print(f"figure {args.out}: {', '.join(curves)}")


def _read(run: Path) -> list[dict[str, Any]]:
    """A run's records.

    Raises:
        UserError: it is no run, or not a classifier's.
    """
    if not (run / "scalars.json").is_file():
        raise UserError(f"{run} has no scalars.json: give the folder of a run, as --work-dir named it")
    records = read_scalars(run / "scalars.json")
    if not any(TRAIN in record or TEST in record for record in records):
        raise UserError(f"{run} has no errors of a classifier in its scalars.json; a detector's losses are on its page")
    return records


if __name__ == "__main__":
    main()
