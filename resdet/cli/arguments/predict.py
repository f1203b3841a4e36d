"""Detect objects in an image, a folder of images or a video: writes drawn pictures and detections.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.shared import (
    add_config,
    add_device,
    add_improvements,
    add_output_folder,
    add_precision,
)

EXAMPLES = """
  resdet predict voc07_r101 runs/voc07_r101/last.pth photos/ --out drawn
  resdet predict detectron2_r50_c4 model_final_f97cb7.pkl street.mp4 --threshold 0.7
  resdet predict voc07_r101 F photos/ --ensemble G H --refine --compare
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of predict."""
    add_config(parser)
    parser.add_argument(
        "checkpoint", type=Path, help="weights of CONFIG's detector, of resdet or of a detectron2 C4 model"
    )
    parser.add_argument(
        "--ensemble",
        type=Path,
        nargs="+",
        default=[],
        metavar="F",
        help="weights of further detectors of an ensemble; put this option after SOURCE",
    )
    parser.add_argument("source", type=Path, help="an image, a folder of images, or a video")
    add_output_folder(parser, "predictions", "folder for the pictures and detections.json")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="SCORE",
        help="lowest score, in 0..1, of detections that are drawn and written (default: %(default)s)",
    )
    add_device(parser)
    add_precision(parser)
    parser.add_argument(
        "--compare",
        action="store_true",
        help="draw the detections without improvements and ensemble on the left of each image (not in videos)",
    )
    add_improvements(parser)
