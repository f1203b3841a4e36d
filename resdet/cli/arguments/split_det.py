"""Split ImageNet DET's val into val1 and val2, balanced by class as in R-CNN (Girshick et al. 2014, Sect. 4.1).

Writes the two lists beside val.txt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.numbers import add_number
from resdet.ranges import Seed

EXAMPLES = """
  resdet split-det data/imagenet
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of split-det."""
    parser.add_argument("root", type=Path, help="the folder that holds ILSVRC/ and map_det.txt")
    add_number(parser, "--seed", Seed, "seed of the random search", default=0)
