"""Compute mAP by the rules of PASCAL VOC or ImageNet DET: of a detector on its config's test set, or of comp4 files.

Without arguments, the detector that `resdet train-det` has trained on the embedded set is tested.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_config, add_path, add_record
from resdet.cli.arguments.testing import AP_METHODS, add_detector_checkpoints, add_improvements, add_test_arguments

DEFAULT_CONFIG = "shapes_det"
METHODS = (*AP_METHODS, "ilsvrc")
EXAMPLES = """
  resdet eval-voc
  resdet eval-voc runs/mine/last.pth
  resdet eval-voc CONFIG --checkpoint F
  resdet eval-voc CONFIG --checkpoint F G --refine --scales 400 600 800      # an ensemble; improvements of App. B
  resdet eval-voc --detections DIR --voc-root data/VOCdevkit --year 2007 --image-set test --method 11-point
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of eval-voc."""
    add_config(parser, DEFAULT_CONFIG, checkpoint=True)
    add_detector_checkpoints(parser)
    add_output(parser, "--write-detections", "DIR", "also write the detections to DIR, as comp4 files")
    add_output(
        parser,
        "--write-submission",
        "FILE",
        "also write the file that the server scores: a .tar.gz for VOC, text for ImageNet DET",
    )
    files = parser.add_argument_group("scoring comp4 files")
    add_path(files, "--detections", "DIR", "score the comp4_det_<set>_<class>.txt files in DIR")
    add_voc_set(files)
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="average precision as area under the curve (VOC since 2010), at 11 points (VOC 2007), or by the rules of "
        "ImageNet DET (default: the config's; area for files)",
    )
    add_improvements(parser)
    add_test_arguments(parser)
    add_record(parser)


def add_voc_set(group: argparse._ActionsContainer, required: bool = False) -> None:
    """--voc-root, --year, --image-set, --classes: the images that files of detections belong to.

    Args:
        group: a parser or a group of its arguments.
        required: whether the first three must be given.
    """
    add_path(group, "--voc-root", "ROOT", "the folder that holds VOC<year>", required=required)
    group.add_argument(
        "--year", required=required, help="2007, 2012, or whatever follows VOC in the name of the data set's folder"
    )
    group.add_argument(
        "--image-set", required=required, metavar="SET", help="the name of a list in ImageSets/Main: test, val ..."
    )
    group.add_argument(
        "--classes",
        nargs="+",
        metavar="CLASS",
        help="names of the classes (default: VOC's twenty if the year has four digits, else those annotated)",
    )
