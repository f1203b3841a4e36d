"""Recompute the BN statistics of a classifier over its training set; detectors freeze them (App. A).

Prints the errors before and after, and writes a new checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_config
from resdet.cli.arguments.testing import add_test_arguments
from resdet.ranges import Count

EXAMPLES = """
  resdet precise-bn CONFIG --checkpoint runs/mine/last.pth --out precise.pth
  resdet precise-bn CONFIG --checkpoint runs/mine/last.pth --out precise.pth --images 2000 --by-layer
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of precise-bn."""
    add_config(parser)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="F", help="weights of CONFIG's net")
    add_output(parser, "--out", "F", "the checkpoint to write", required=True)
    add_number(parser, "--images", Count, "training images to use, at most", default=25_000)
    parser.add_argument(
        "--by-layer",
        action="store_true",
        help="pass over the images once per layer, with the layers before it already set: exact, but slower",
    )
    add_test_arguments(parser)
