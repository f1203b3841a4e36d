"""Train a classifier.

Without CONFIG, a small ResNet is trained on the embedded set, in about a minute.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.shared import add_automatic, add_config, add_run_arguments
from resdet.ranges import Count

DEFAULT_CONFIG = "shapes_cls"
EXAMPLES = """
  resdet train-cls
  resdet train-cls cifar10_r56 --runs 5
  resdet train-cls imagenet_r50 --dry-run
  torchrun --nproc-per-node 8 -m resdet train-cls imagenet_r50 --launcher pytorch
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of train-cls."""
    add_config(parser, DEFAULT_CONFIG)
    text = "train N times, with seeds from --seed on, and print best, mean and deviation"
    add_number(parser, "--runs", Count, text, default=1, metavar="N")
    add_run_arguments(parser)
    add_automatic(parser)
