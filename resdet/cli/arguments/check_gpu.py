"""Check whether everything works on this machine's GPU, in minutes, and write a report with figures.

The GPU's outputs and gradients are compared with the CPU's, short trainings are run, killed and resumed by the real
commands, and the benchmarks beside torchvision are run. A check that fails does not stop the others; the exit code is
then 1. Without a GPU the checks run on the CPU, as far as they concern it.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.shared import add_device, add_output_folder

EXAMPLES = """
  resdet check-gpu
  resdet check-gpu --only agreement pooling --out runs/agreement
  resdet check-gpu --skip speed compile
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of check-gpu."""
    add_output_folder(parser, "runs/check_gpu", "folder for report.md, report.json and the logs")
    add_device(parser)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="run these checks only; see --list")
    parser.add_argument("--skip", nargs="+", metavar="NAME", default=[], help="do not run these checks")
    parser.add_argument("--list", action="store_true", help="only print the names of the checks and what they check")
