"""Run inspect-data: check a whole data set."""

from __future__ import annotations

import argparse
import sys

from resdet.cli.common.config import config_of
from resdet.inspection.classification import inspect_classes
from resdet.inspection.detection import inspect_data
from resdet.recipes.localization.build import is_localizer


def run(args: argparse.Namespace) -> None:
    """Print every problem and the statistics, and draw sample pictures.

    Raises:
        SystemExit: with code 2 if there is something to mend.
    """
    cfg = config_of(args)
    by_class = "net" in cfg or is_localizer(cfg)
    problems = inspect_classes(cfg, args.out) if by_class else inspect_data(cfg, args.out)
    refused = sum(p.refused for p in problems)
    print(f"{refused} problems to mend, {len(problems) - refused} repaired when read; pictures in {args.out}")
    if refused:
        sys.exit(2)
