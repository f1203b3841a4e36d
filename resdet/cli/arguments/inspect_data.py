"""Check a config's whole data set: names every bad file and box, prints statistics, draws sample pictures.

Boxes and images are checked for a detector's config, images and classes for a classifier's, all of them for a
localizer's. The exit code is 2 if there is something to mend. With --fix, what can be repaired without a guess is
written as a copy of the annotations, with a list of the changes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.shared import add_config, add_config_options, add_path

EXAMPLES = """
  resdet inspect-data configs/mine.py
  resdet inspect-data voc07_r101 --out pictures
  resdet inspect-data configs/mine.py --fix mended
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of inspect-data."""
    add_config(parser)
    add_path(parser, "--out", "DIR", "folder for the sample pictures (default: inspection/CONFIG)")
    parser.add_argument(
        "--fix", type=Path, metavar="OUT", help="folder for a repaired copy of the annotations (VOC, COCO, YOLO)"
    )
    add_config_options(parser)
