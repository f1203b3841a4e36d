"""Test classifiers: top-1 and top-5 error on a config's test set. Several checkpoints are tested as an ensemble."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.outputs import FirstIsOutput, add_output
from resdet.cli.arguments.shared import add_config, add_record
from resdet.cli.arguments.testing import (
    CLASSIFIER_VIEWS,
    add_checkpoints,
    add_ensemble_member,
    add_test_arguments,
    add_views,
)

EXAMPLES = """
  resdet eval-cls runs/mine/last.pth
  resdet eval-cls CONFIG --checkpoint F
  resdet eval-cls CONFIG --checkpoint F G H --views center ten-crop dense
  resdet eval-cls imagenet_vgg16 --checkpoint VGG16_Weights.IMAGENET1K_V1     # torchvision's, by name or as a file
  resdet eval-cls imagenet_r152 --checkpoint F G --net imagenet_r101 H        # an ensemble of different depths
  resdet eval-cls imagenet_r50 --checkpoint F --submission answers.txt map_clsloc.txt \\
      --cfg-options data.test.image_set=test
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of eval-cls."""
    add_config(parser, optional=True, checkpoint=True)
    add_checkpoints(parser, "weights of CONFIG's net, of resdet or of any project whose files resdet reads", default=[])
    add_ensemble_member(
        parser,
        "--net",
        "add another net to the ensemble: its config, which --cfg-options do not change, and weights; may be repeated",
    )
    add_views(
        parser, CLASSIFIER_VIEWS, "the center crop, the ten crops, or fully convolutionally at several scales (dense)"
    )
    add_output(
        parser, "--predictions", "CSV", "write the five most probable classes of every image, with the last of --views"
    )
    parser.add_argument(
        "--submission",
        action=FirstIsOutput,
        type=Path,
        nargs=2,
        metavar=("TXT", "MAP"),
        help="write the file that ILSVRC's server scores, with the last of --views; MAP is map_clsloc.txt of the "
        "development kit",
    )
    add_test_arguments(parser)
    add_record(parser)
