"""Check a config's whole data set: names every bad file and box, prints statistics, draws sample pictures.

Boxes and images are checked for a detector's config, images and classes for a classifier's, all of them for a
localizer's. The exit code is 2 if there is something to mend.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.shared import add_config, add_config_options, add_output_folder

EXAMPLES = """
  resdet inspect-data configs/mine.py
  resdet inspect-data voc07_r101 --out pictures
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of inspect-data."""
    add_config(parser)
    add_output_folder(parser, "inspection", "folder for the sample pictures")
    add_config_options(parser)
