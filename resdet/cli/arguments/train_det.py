"""Train a Faster R-CNN detector.

Without CONFIG, a small detector is trained on the embedded set, from the classifier that `resdet train-cls` trains.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.shared import add_automatic, add_config, add_run_arguments

DEFAULT_CONFIG = "shapes_det"
EXAMPLES = """
  resdet train-det
  resdet train-det voc07_r101 --init-from R-101.pkl
  resdet train-det configs/mine.py --init-from ResNet18_Weights.IMAGENET1K_V1 --cfg-options data.images=4
  resdet train-det coco_r101 --dry-run
  torchrun --nproc-per-node 8 -m resdet train-det coco_r101 --launcher pytorch --resume
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of train-det."""
    add_config(parser, DEFAULT_CONFIG)
    add_run_arguments(parser)
    add_automatic(parser)
