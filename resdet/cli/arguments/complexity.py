"""Print the paper's Table 1, and parameters and multiply-adds of every net, counted on the nets themselves."""

from __future__ import annotations

import argparse

from resdet.cli.arguments.shared import add_json

EXAMPLES = """
  resdet complexity
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of complexity."""
    add_json(parser)
