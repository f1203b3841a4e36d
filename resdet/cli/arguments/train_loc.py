"""Train a localizer, and its R-CNN stage if the config has a section `rcnn`.

Without CONFIG, a small localizer is trained on the embedded set; the classifier that it starts from is trained first
if it does not exist.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.shared import add_config, add_run_arguments

DEFAULT_CONFIG = "shapes_loc_rcnn"
EXAMPLES = """
  resdet train-loc
  resdet train-loc loc_r101 --init-from runs/imagenet_r101/last.pth
  resdet train-loc loc_r101_rcnn --dry-run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of train-loc."""
    add_config(parser, DEFAULT_CONFIG)
    add_run_arguments(parser)
