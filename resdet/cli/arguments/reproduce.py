"""Run a row of the paper's tables: its trainings, with those that it needs, then its measurements.

Finished commands are not run again, and an interrupted training is resumed. `resdet table` lists the rows.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_dry_run
from resdet.ranges import Count

EXAMPLES = """
  resdet reproduce table7-voc07_r101 --list
  resdet reproduce table7-voc07_r101 --processes 8
  resdet reproduce table9-coco_r101_context --dry-run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of reproduce."""
    parser.add_argument("row", metavar="ROW", help="the name of a row")
    parser.add_argument("--list", action="store_true", help="only print the commands")
    text = "train and test with N processes, one for each GPU, by torchrun"
    add_number(parser, "--processes", Count, text, default=1, metavar="N")
    add_dry_run(parser, "run all commands in seconds each")
    add_output(
        parser, "--work-dir", "DIR", "folder to run in, with data and runs below it (default: the current folder)"
    )
