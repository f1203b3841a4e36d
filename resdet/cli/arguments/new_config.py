"""Write a config for your own data: data sets, classes, anchors of the objects' sizes, RoI bins that fit the trunk.

VOC, COCO and YOLO are recognized by the layout of their files, also from Roboflow, CVAT, Label Studio and labelImg. The
choices and their reasons are printed and written into the config.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.numbers import add_number
from resdet.ranges import Count

EXAMPLES = """
  resdet new-config data/export --out configs/mine.py
  resdet new-config data/export --out configs/mine.py --init-from runs/tiny_imagenet50_r18/last.pth
  resdet train-det configs/mine.py --init-from runs/tiny_imagenet50_r18/last.pth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of new-config."""
    parser.add_argument("data", type=Path, help="the folder of the data set; or a COCO file, or a data.yaml")
    parser.add_argument("--out", type=Path, required=True, metavar="F", help="the config to write; it must not exist")
    parser.add_argument(
        "--init-from", metavar="F",
        help="weights that the training will start from, written into the config; they give --depth and --crop",
    )  # fmt: skip
    parser.add_argument(
        "--depth", type=int, choices=(18, 34, 50, 101, 152), help="depth of the ResNet (default: the weights', else 18)"
    )
    add_number(
        parser,
        "--crop",
        Count,
        "side of the crops that the trunk was trained on; a sixteenth of it is the number of RoI bins (default: the "
        "weights', else 224)",
        metavar="PIXELS",
    )
