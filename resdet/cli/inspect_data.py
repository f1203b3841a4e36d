"""Check a config's whole data set: names every bad file and box, prints statistics, draws sample pictures.

Of a detector's config boxes and images, of a classifier's images and classes, of a localizer's all of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from resdet.cli.common import add_config_options, run_command
from resdet.engine.config import load_config
from resdet.inspection.classification import inspect_classes
from resdet.inspection.detection import inspect_data
from resdet.recipes.localization.build import is_localizer


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/inspect_data.py and resdet-inspect-data."""
    run_command(_inspect, arguments)


def _inspect(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="a config file or the name of one")
    parser.add_argument("--out", type=Path, default=Path("inspection"), help="folder for the pictures")
    add_config_options(parser)
    args = parser.parse_args(arguments)
    cfg = load_config(args.config, args.cfg_options)
    by_class = "net" in cfg or is_localizer(cfg)
    problems = inspect_classes(cfg, args.out) if by_class else inspect_data(cfg, args.out)
    refused = sum(p.refused for p in problems)
    print(f"{refused} problems to mend, {len(problems) - refused} repaired when read; pictures in {args.out}")
    if refused:
        sys.exit(2)


if __name__ == "__main__":
    main()
