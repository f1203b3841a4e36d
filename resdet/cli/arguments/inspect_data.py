"""Check the whole data set of a config, a folder or a COCO file: names every bad file and box, prints statistics.

Boxes and images are checked for a detector's config, images and classes for a classifier's, all of them for a
localizer's. Sheets of samples are drawn. The exit code is 2 if something must be corrected. --fix writes a copy of the
annotations in which every fault with one certain repair is repaired, and a list of the changes.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_config, add_config_options

EXAMPLES = """
  resdet inspect-data configs/mine.py
  resdet inspect-data voc07_r101 --out pictures
  resdet inspect-data configs/mine.py --fix mended
  resdet inspect-data data/export
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of inspect-data."""
    add_config(parser)
    add_output(parser, "--out", "DIR", "folder for the sample pictures (default: inspection/CONFIG)")
    add_output(parser, "--fix", "DIR", "folder for a repaired copy of the annotations (VOC, COCO, YOLO)")
    add_config_options(parser)
