"""Run a row of the paper's tables: its trainings, with those that it needs, then its measurements.

A command that has ended is not run again, and a training that was interrupted goes on. `resdet table` lists the rows.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.shared import add_path

EXAMPLES = """
  resdet reproduce table7-voc07_r101 --list
  resdet reproduce table7-voc07_r101 --processes 8
  resdet reproduce table9-coco_r101_context --dry-run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of reproduce."""
    parser.add_argument("row", metavar="ROW", help="the name of a row")
    parser.add_argument("--list", action="store_true", help="only print the commands")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="train and test with N processes, one for each GPU, by torchrun (default: %(default)s)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="run all commands in seconds each: narrow nets, three steps, generated noise in the data sets' layouts, "
        "in a temporary folder unless --work-dir is given; the figures mean nothing",
    )
    add_path(parser, "--work-dir", "DIR", "folder to run in, with data and runs below it (default: this one)")
