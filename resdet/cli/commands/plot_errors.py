"""Run plot-errors: draw the error curves of classifiers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from resdet.cli.common.output import distinct_names
from resdet.engine.log import read_scalars
from resdet.errors import UserError
from resdet.report.classifier_plots import TEST, TRAIN, error_plot
from resdet.report.plots import save_plot


def run(args: argparse.Namespace) -> None:
    """Write the figure."""
    curves = {name: _read(folder) for name, folder in zip(distinct_names(args.runs), args.runs, strict=True)}
    save_plot(error_plot(curves), args.out)
    print(f"figure {args.out}: {', '.join(curves)}")


def _read(folder: Path) -> list[dict[str, Any]]:
    """The records of a training.

    Raises:
        UserError: it is not a training's folder, or not a classifier's.
    """
    if not (folder / "scalars.json").is_file():
        raise UserError(f"{folder} has no scalars.json: give the folder of a run, as --work-dir named it")
    records = read_scalars(folder / "scalars.json")
    if not any(TRAIN in record or TEST in record for record in records):
        raise UserError(
            f"{folder} has no errors of a classifier in its scalars.json; a detector's losses are on its page"
        )
    return records
