"""Copy the configs that come with resdet into a folder, to change them or to inherit from them."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """
  resdet copy-configs configs
  resdet copy-configs --list
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of copy-configs."""
    parser.add_argument("folder", type=Path, nargs="?", help="the folder to make; it must not exist yet")
    parser.add_argument("--list", action="store_true", help="only print the names of the configs")
