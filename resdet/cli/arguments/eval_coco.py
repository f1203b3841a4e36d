"""Compute mAP by the rules of COCO: of a detector on its config's test set, or of a results file."""

from __future__ import annotations

import argparse

from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_config, add_path, add_record
from resdet.cli.arguments.testing import add_detector_checkpoints, add_improvements, add_test_arguments

EXAMPLES = """
  resdet eval-coco runs/mine/last.pth
  resdet eval-coco CONFIG --checkpoint F
  resdet eval-coco CONFIG --checkpoint F G --refine --scales 400 600 800     # an ensemble; improvements of App. B
  resdet eval-coco CONFIG --checkpoint F --write-results results.json        # for COCO's server
  resdet eval-coco --annotations instances_val2017.json --results results.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of eval-coco."""
    add_config(parser, optional=True, checkpoint=True)
    add_detector_checkpoints(parser)
    add_output(parser, "--write-results", "FILE", "also write the detections to FILE, in COCO's results format")
    files = parser.add_argument_group("scoring a results file")
    add_path(files, "--annotations", "FILE", "the ground truth: instances_*.json")
    add_path(files, "--results", "FILE", "score this file, a JSON list of image_id, category_id, bbox and score")
    add_improvements(parser)
    add_test_arguments(parser)
    add_record(parser)
