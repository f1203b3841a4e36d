"""Compare the mAP of two detectors: mean and deviation over trainings, and a paired bootstrap over the images.

Each folder holds the comp4 files of one training, as `resdet eval-voc --write-detections` writes them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.eval_voc import add_voc_set
from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.shared import add_json
from resdet.cli.arguments.testing import AP_METHODS, add_resamples
from resdet.ranges import Seed

EXAMPLES = """
  resdet compare-voc --ours a/seed0 a/seed1 --theirs b/seed0 b/seed1 \\
      --voc-root data/VOCdevkit --year 2007 --image-set test --method 11-point
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of compare-voc."""
    for name, which in (("--ours", "first"), ("--theirs", "second")):
        parser.add_argument(
            name,
            type=Path,
            nargs="+",
            required=True,
            metavar="DIR",
            help=f"folders of the {which} detector's comp4 files, one per training",
        )
    add_voc_set(parser, required=True)
    parser.add_argument(
        "--method",
        choices=AP_METHODS,
        default="area",
        help="average precision as area under the curve or at 11 points, as in VOC 2007 (default: %(default)s)",
    )
    add_resamples(parser, "number of bootstrap draws of the images")
    add_number(parser, "--seed", Seed, "seed of the bootstrap", default=0)
    add_json(parser)
