"""Run inspect-data: check a whole data set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from resdet.cli.common.config import config_of
from resdet.inspection.classification import inspect_classes
from resdet.inspection.detection import inspect_data
from resdet.inspection.fix import fix_data
from resdet.inspection.fixes import CHANGES
from resdet.recipes.localization.build import is_localizer


def run(args: argparse.Namespace) -> None:
    """Print every problem and the statistics, and draw sample pictures.

    Raises:
        SystemExit: with code 2 if there is something to mend.
    """
    cfg = config_of(args)
    out = args.out or Path("inspection") / Path(args.config).stem  # not two configs' pictures in one folder
    by_class = "net" in cfg or is_localizer(cfg)
    problems = inspect_classes(cfg, out) if by_class else inspect_data(cfg, out)
    refused = sum(p.refused for p in problems)
    if args.fix is not None:
        changes = fix_data(cfg, args.fix)
        print(f"{len(changes)} changes in the copy in {args.fix}, listed in {args.fix / CHANGES}")
    print(f"{refused} problems to mend, {len(problems) - refused} repaired when read; pictures in {out}")
    if refused:
        sys.exit(2)
