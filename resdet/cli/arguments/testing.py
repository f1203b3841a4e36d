"""Arguments that several commands share which test checkpoints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.shared import add_config_options, add_device_arguments, add_json, add_launcher
from resdet.ranges import Count, Natural

AP_METHODS = ("area", "11-point")  # metrics/voc_ap.Method
SOFT_NMS_DECAYS = ("linear", "gaussian")  # boxes/soft_nms.Decay
CLASSIFIER_VIEWS = ("center", "ten-crop", "dense")  # recipes/classification/evaluate
NO_SOFT_NMS = "none"


def add_test_arguments(parser: argparse.ArgumentParser) -> None:
    """What the commands that test a checkpoint share: --launcher, --device ... --json."""
    add_launcher(parser)
    add_device_arguments(parser)
    add_config_options(parser)
    add_json(parser)


def add_checkpoints(parser: argparse.ArgumentParser, text: str, **options: Any) -> None:
    """--checkpoint F ...: one or more files of weights.

    Args:
        parser: gets the argument.
        text: its help.
        options: further options of `add_argument`: required, default, action.
    """
    parser.add_argument("--checkpoint", type=Path, nargs="+", metavar="F", help=text, **options)


def add_detector_checkpoints(parser: argparse.ArgumentParser) -> None:
    """--checkpoint of the commands that test a detector."""
    text = "weights of CONFIG's detector, of resdet or of a detectron2 C4 model; several files, also of nets of "
    add_checkpoints(parser, text + "different depths, are tested as an ensemble", default=[])


def add_ensemble_member(
    parser: argparse._ActionsContainer, name: str, text: str, metavar: tuple[str, str] = ("CONFIG", "F")
) -> None:
    """A repeatable option that adds a net of another config to an ensemble; its value is a list of [config, weights].

    Args:
        parser: a parser or a group of its arguments, which gets the option.
        name: the option: "--net".
        text: its help.
        metavar: names of the config and of the weights in the help.
    """
    parser.add_argument(name, nargs=2, action="append", default=[], metavar=metavar, help=text)


def add_views(parser: argparse.ArgumentParser, choices: tuple[str, ...], text: str) -> None:
    """--views: one or more ways to test images; the first of `choices` is the default."""
    text = f"how images are tested, one row each: {text} (default: {choices[0]})"
    parser.add_argument("--views", nargs="+", choices=choices, default=[choices[0]], help=text)


def add_sides(parser: argparse._ActionsContainer, name: str, text: str, nargs: str = "+") -> None:
    """An option whose values are short sides of resized images, in pixels; `nargs` as in `add_argument`."""
    add_number(parser, name, Count, text, nargs=nargs, metavar="PX")


def add_resamples(parser: argparse._ActionsContainer, text: str, wanted: Any = Count) -> None:
    """--resamples: the number of bootstrap draws; its help is `text` and the default, its range `wanted`."""
    add_number(parser, "--resamples", wanted, text, default=1000)


def add_improvements(parser: argparse.ArgumentParser) -> None:
    """--refine, --scales, --proposal-scales, --flip, --soft-nms: they override the config's section `testing`."""
    group = parser.add_argument_group("improvements (App. B), which override the config's section testing")
    text = "refine boxes this many times and vote (without a number: once; 0: do not)"
    add_number(group, "--refine", Natural, text, nargs="?", const=1, metavar="ROUNDS")
    add_sides(
        group, "--scales", "test at these short sides, in pixels (without numbers: the config's single size)", "*"
    )
    add_sides(
        group,
        "--proposal-scales",
        "those of --scales from which proposals are taken (default: the one nearest to the training size)",
    )
    group.add_argument(
        "--flip", action="store_true", help="average the predictions with those of the mirror image (not in the paper)"
    )
    group.add_argument(
        "--soft-nms",
        choices=[*SOFT_NMS_DECAYS, NO_SOFT_NMS],
        nargs="?",
        const="gaussian",
        help="lower the scores of overlapping boxes instead of removing them (without a name: gaussian; not in the "
        "paper)",
    )
