"""Measure the speed of a config's net on random pixels, or compare a detector's mAP with torchvision's.

For a detector, the time of each stage, the achieved GFLOP/s and the peak memory are printed; for a classifier, the
images per second in training. --against torchvision times torchvision's implementation too, in turns with ours. --mode
accuracy trains torchvision's Faster R-CNN and ours from the same trunk with the same settings, and compares mAP.
"""

from __future__ import annotations

import argparse

from resdet.benchmarks.part_names import PARTS
from resdet.cli.arguments.numbers import add_number, number
from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import (
    add_compile,
    add_config,
    add_config_options,
    add_device,
    add_json,
    add_path,
    add_precision,
    add_record,
)
from resdet.cli.arguments.testing import add_improvements, add_resamples
from resdet.ranges import Count, Seed

MODES = ("infer", "train", "accuracy")
_CONTENDERS = "Parts that contenders can exchange, as resdet or torchvision has them:\n" + "\n".join(
    f"  {name:10}{text}" for name, text in PARTS.items()
)
EXAMPLES = """
  resdet benchmark voc07_r50 --mode train --proposals 512
  resdet benchmark voc07_r50 --refine --scales 200 400 600 800 1000     # with improvements of App. B
  resdet benchmark voc07_r50 --against torchvision                      # with the same weights
  resdet benchmark voc07_r50 --photos DIR                               # reading images on one core
  resdet benchmark cifar10_r20 --against torchvision                    # training a classifier
  resdet benchmark compare_fruit_r18 --mode accuracy --against torchvision --init-from runs/trunk/last.pth \\
      --contenders torchvision resdet resdet:align torchvision:siblings,padding
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of benchmark."""
    add_config(parser)
    _add_speed(parser)
    _add_accuracy(parser.add_argument_group("accuracy, with --mode accuracy", _CONTENDERS))
    add_improvements(parser)
    add_compile(parser)
    add_config_options(parser)
    add_json(parser)
    add_record(parser)


def _add_speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=MODES, help="what to measure (default: infer; for a classifier train)")
    add_precision(parser)
    parser.add_argument(
        "--size",
        default="600x1000",
        metavar="HxW",
        help="height and width of a detector's input, in pixels (default: %(default)s)",
    )
    add_number(parser, "--proposals", Count, "regions per image that the head processes", default=300)
    add_number(parser, "--images", Count, "images per batch (default: 1; for a classifier data.images)")
    add_number(parser, "--repeats", Count, "timed repetitions; the median is reported", default=5)
    add_device(parser)
    add_path(
        parser, "--photos", "DIR", "instead of a net, time reading, flipping and resizing the images in DIR on one core"
    )
    parser.add_argument("--against", choices=["torchvision"], help="also measure torchvision's implementation")


def _add_accuracy(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--init-from", metavar="F", help="the trunk that all contenders start from (default: the config's init_from)"
    )
    add_output(group, "--work-dir", "DIR", "folder for the trainings, one folder each (default: runs/accuracy_CONFIG)")
    group.add_argument(
        "--seeds",
        type=number(Seed),
        nargs="+",
        default=[0, 1, 2, 3],
        metavar="S",
        help="every contender is trained once per seed (default: 0 1 2 3)",
    )
    add_resamples(group, "number of bootstrap draws of test images and seeds")
    group.add_argument(
        "--contenders",
        nargs="+",
        default=["torchvision", "resdet"],
        metavar="SIDE[:PART,PART]",
        help="torchvision or resdet, with these parts taken from the other; each is compared with the first "
        "(default: torchvision resdet)",
    )
