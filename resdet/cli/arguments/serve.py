"""Open a page on which a detector is tried in the browser: drop a photo, see the boxes, move the lowest score.

The page is for this machine alone unless --host says otherwise; it has no login. Ctrl-C ends it. Needs the package
gradio: pip install 'resdet[serve]'.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.shared import add_config_options, add_device, add_precision
from resdet.ranges import Port, Share

EXAMPLES = """
  resdet serve runs/mine/last.pth
  resdet serve hf://owner/name --port 8000
  resdet serve detectron2://COCO-Detection/faster_rcnn_R_101_C4_3x --threshold 0.7
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of serve."""
    parser.add_argument(
        "checkpoint", help="a detector's checkpoint, its .safetensors or .onnx file, or a name as predict takes"
    )
    parser.add_argument("--config", help="its config, for weights that keep none (default: the checkpoint's)")
    parser.add_argument(
        "--host", default="127.0.0.1",
        help="address to listen at; 0.0.0.0 opens the page to all who reach this machine (default: %(default)s)",
    )  # fmt: skip
    add_number(parser, "--port", Port, "port to listen at", default=7860)
    text = "lowest score, in 0..1, of detections that are shown at first"
    add_number(parser, "--threshold", Share, text, default=0.5, metavar="SCORE")
    add_device(parser)
    add_precision(parser)
    add_config_options(parser)
