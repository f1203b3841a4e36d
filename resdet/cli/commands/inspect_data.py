"""Run inspect-data: check a whole data set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from resdet.cli.common.config import config_of
from resdet.engine.log import warnings_once
from resdet.errors import UserError
from resdet.inspection.classification import inspect_classes
from resdet.inspection.detection import inspect_data, sets_of_config
from resdet.inspection.fix import fix_data, plan_fix
from resdet.inspection.fixes import CHANGES, LEFT
from resdet.inspection.folder import sets_of_folder
from resdet.inspection.problem import Problem
from resdet.recipes.localization.build import is_localizer

DATA_SUFFIXES = (".json", ".yaml", ".yml", ".txt", ".names")  # of files that `recognize` takes


def run(args: argparse.Namespace) -> None:
    """Print every problem and the statistics, and draw sample pictures.

    Raises:
        SystemExit: with code 2 if there is something to mend.
    """
    out = args.out or Path("inspection") / Path(args.config).stem  # not two configs' pictures in one folder
    with warnings_once():
        problems = _inspect(args, out)
    refused = sum(p.refused for p in problems)
    warnings = len(problems) - refused
    drawn = f"; pictures in {out}" if out.is_dir() else ""
    print(f"{_number(refused, 'problem')} to mend, {_number(warnings, 'warning')}{drawn}")
    if refused:
        sys.exit(2)


def _inspect(args: argparse.Namespace, out: Path) -> list[Problem]:
    """Check what the command line names, and write the repaired copy that --fix asks for."""
    path = Path(args.config)
    if args.config and (path.is_dir() or (path.is_file() and path.suffix in DATA_SUFFIXES)):
        if args.cfg_options:
            raise UserError(f"{path} is data and no config: leave --cfg-options out, or give a config")
        sets = sets_of_folder(path)
    else:
        cfg = config_of(args)
        if "net" in cfg or is_localizer(cfg):
            if args.fix is not None:
                raise UserError("--fix repairs boxes; a classifier's and a localizer's data are only checked")
            return inspect_classes(cfg, out)
        sets = sets_of_config(cfg)
    plan = None if args.fix is None else plan_fix(sets, args.fix)
    problems = inspect_data(sets, out)
    if plan is not None:
        changes = fix_data(plan)
        left = sum(LEFT in line for line in changes)
        counts = f"{_number(len(changes) - left, 'change')} in the copy in {args.fix}, {_number(left, 'fault')} left"
        print(f"{counts} for you to decide, listed in {args.fix / CHANGES}")
    return problems


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
