"""Write a test set with its truth and a detector's detections in a form that FiftyOne opens.

FiftyOne is not needed to write it. The script open_fiftyone.py in the folder, which needs it, opens its App. The
images stay where they are.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_config
from resdet.cli.arguments.testing import add_detector_checkpoints, add_test_arguments

EXAMPLES = """
  resdet to-fiftyone runs/mine/last.pth
  python runs/mine/fiftyone/open_fiftyone.py        # needs: pip install fiftyone
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of to-fiftyone."""
    add_config(parser, None, checkpoint=True)
    add_detector_checkpoints(parser)
    add_output(parser, "--out", "DIR", "the folder to write (default: fiftyone, beside the checkpoint)")
    add_test_arguments(parser)
