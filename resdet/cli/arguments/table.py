"""Print the rows of the paper's tables and figures: the paper's results, the commands, and what they need.

Without TABLE, all rows of all tables and figures are listed, one line each.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.shared import add_json

EXAMPLES = """
  resdet table
  resdet table 7
  resdet table f6
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of table."""
    parser.add_argument("table", nargs="*", metavar="TABLE", help="a number for a table, f and a number for a figure")
    add_json(parser)
