"""Print the measured results as a Markdown page, made of the measurements in a folder.

A measurement is a JSON file that commands write with --record, or that you write; `ledger.toml` in the same folder has
the page's introduction and its sections (docs/formats.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_path

EXAMPLES = """
  resdet results --out docs/RESULTS.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of results."""
    add_path(
        parser, "--ledger", "DIR", "the folder of the measurements (default: %(default)s)", default=Path("results")
    )
    add_output(parser, "--out", "FILE", "write the page to FILE instead of printing it")
