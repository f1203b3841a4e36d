"""Measure the standard deviation of every 3x3 layer's response over the test set, and draw it (Fig. 7).

Writes responses.png and responses.csv, which also has the norm of each layer's gradient in one training step.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_config_options, add_device_arguments
from resdet.ranges import Count

EXAMPLES = """
  resdet responses --net cifar10_plain20 runs/cifar10_plain20/last.pth \\
      --net cifar10_r20 runs/cifar10_r20/last.pth --out DIR
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of responses."""
    parser.add_argument(
        "--net",
        nargs=2,
        action="append",
        required=True,
        metavar=("CONFIG", "CHECKPOINT"),
        help="a classifier's config and weights; may be repeated",
    )
    add_output(parser, "--out", "DIR", "folder for responses.png and responses.csv", required=True)
    add_number(parser, "--images", Count, "test images to use, at most", default=10_000)
    add_device_arguments(parser)
    add_config_options(parser)
