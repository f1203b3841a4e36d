"""Analyse the errors of a detector: the mAP that each kind costs, confusions, precision, recall, the worst images.

The kinds are TIDE's: a wrong class, a badly placed box, both, a duplicate, background, a missed object. The tables are
printed; tables (JSON, CSV) and pictures of the images that cost most are written to --out, by default to the folder
`errors` beside the checkpoint.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_config, add_path
from resdet.cli.arguments.testing import add_detector_checkpoints, add_test_arguments
from resdet.ranges import Natural, Share

EXAMPLES = """
  resdet errors runs/mine/last.pth
  resdet errors runs/mine/last.pth --score 0.3 --worst 40
  resdet errors runs/mine/last.pth --against runs/older/last.pth       # costs side by side
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of errors."""
    add_config(parser, None, checkpoint=True)
    add_detector_checkpoints(parser)
    add_path(parser, "--against", "F", "a second detector's checkpoint, to compare with")
    add_number(
        parser, "--score", Share, "lowest score that counts for confusions, precision, recall and F1", default=0.5
    )
    add_number(parser, "--worst", Natural, "pictures of the worst images", default=12)
    add_output(parser, "--out", "DIR", "folder for the tables and pictures (default: errors, beside the checkpoint)")
    add_test_arguments(parser)
