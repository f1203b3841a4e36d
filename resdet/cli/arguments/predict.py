"""Detect objects in images, folders of images or a video: writes drawn pictures, detections.jsonl and detections.json.

An image that cannot be read is named and left out; the exit code is then 1. An interrupted command continues when it is
run again. Several processes, on one machine or several that see the same files, share the images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.shared import (
    add_config,
    add_config_options,
    add_device,
    add_launcher,
    add_output_folder,
    add_precision,
)
from resdet.cli.arguments.testing import add_improvements
from resdet.ranges import Count, Overlap, Share

ANNOTATION_FORMATS = ("voc", "coco", "yolo")  # data/detection/writing.FORMATS

EXAMPLES = """
  resdet predict runs/mine/last.pth photos/ --out drawn
  resdet predict runs/mine/last.pth photos/ "more/*.jpg" --save-annotations yolo --threshold 0.3
  resdet predict runs/mine/last.pth scene.tif --tile 800 --overlap 0.2
  resdet predict voc07_r101 runs/voc07_r101/last.pth photos/
  resdet predict detectron2_r50_c4 model_final_f97cb7.pkl street.mp4 --threshold 0.7
  resdet predict runs/mine/last.pth rtsp://192.168.1.20/live --out drawn
  resdet predict detectron2://COCO-Detection/faster_rcnn_R_101_C4_3x photos/      downloads the detector
  resdet predict voc07_r101 F photos/ --ensemble G H --refine --compare
  torchrun --nproc-per-node 8 -m resdet predict runs/mine/last.pth photos/ --out drawn
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of predict."""
    _add_inputs(parser)
    _add_outputs(parser)
    _add_test(parser)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    add_config(parser, checkpoint=True)
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="weights of CONFIG's detector, of resdet or of a detectron2 C4 model; left out if a checkpoint takes the "
        "place of CONFIG",
    )
    parser.add_argument(
        "--ensemble",
        type=Path,
        nargs="+",
        default=[],
        metavar="F",
        help="weights of further detectors of an ensemble; put this option after SOURCE",
    )
    parser.add_argument(
        "source",
        nargs="+",
        help='images, folders of images, patterns in quotes such as "photos/*.jpg"; or one video: a '
        "file, the number of a webcam (0 is the first) or the URL of a stream (rtsp, rtmp, udp, http), until Ctrl-C",
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    add_output_folder(parser, "predictions", "folder for the pictures and detections.json")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the detections in DIR; otherwise those of the same weights and settings are kept, and a folder "
        "with others is refused; annotations in DIR/yolo are renamed to DIR/yolo.old-DATE",
    )
    parser.add_argument(
        "--save-annotations",
        choices=ANNOTATION_FORMATS,
        help="also write the detections as a data set of this form to DIR/voc, DIR/coco or DIR/yolo, to be corrected "
        "in a labelling tool and trained on (not of videos); refused if DIR has one already",
    )
    text = "lowest score, in 0..1, of detections that are drawn and written"
    add_number(parser, "--threshold", Share, text, default=0.5, metavar="SCORE")


def _add_test(parser: argparse.ArgumentParser) -> None:
    add_device(parser)
    add_precision(parser)
    add_launcher(parser)
    text = "also detect in overlapping tiles of this side, in pixels (64 or more), of larger images: for small objects"
    add_number(parser, "--tile", Count, text, metavar="SIDE")
    text = "share of a tile, in 0..0.9, that --tile lets it have in common with its neighbour (default: 0.2)"
    add_number(parser, "--overlap", Overlap, text, metavar="SHARE")
    parser.add_argument(
        "--compare",
        action="store_true",
        help="draw the detections without improvements and ensemble on the left of each image (not in videos)",
    )
    add_improvements(parser)
    add_config_options(parser)
