"""Draw the training and test error curves of classifiers (Figs. 1, 4 and 6)."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.outputs import add_output

EXAMPLES = """
  resdet plot-errors runs/cifar10_plain20 runs/cifar10_r20 --out errors.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of plot-errors."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the folder of a classifier's training")
    add_output(parser, "--out", "FILE", "the plot to write, of type .png, .svg or .pdf", required=True)
