"""Compute the localization error by the rules of ILSVRC (Tables 13 and 14): of localizers, or of a predictions file."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_config, add_path, add_record
from resdet.cli.arguments.testing import (
    CLASSIFIER_VIEWS,
    add_checkpoints,
    add_ensemble_member,
    add_sides,
    add_test_arguments,
    add_views,
)
from resdet.ranges import PositiveShare

VIEWS = ("1-crop", "dense")  # recipes/localization/inference
IN_RUN = Path("RUN/eval_pictures")  # stands for this folder beside the checkpoint
EXAMPLES = """
  the box of the true class ("oracle"), at one crop and densely at several scales
    resdet eval-loc CONFIG --checkpoint F --views 1-crop dense
  a box for each of the five classes that a classifier finds most probable: CONFIG's own classifier, or another
    resdet eval-loc loc_r101 --checkpoint F --views dense --classifier
    resdet eval-loc CONFIG --checkpoint F --views dense --classifier imagenet_r101 C
  ensembles of localizers, and of classifiers
    resdet eval-loc CONFIG --checkpoint F G --net CONFIG2 H
    resdet eval-loc CONFIG --checkpoint F --classifier imagenet_r101 C --classifier-net imagenet_r152 D
  with an R-CNN stage, which scores and refines the localizer's proposals
    resdet eval-loc CONFIG --checkpoint F --views dense --rcnn R
  the file that ILSVRC's server scores
    resdet eval-loc CONFIG --checkpoint F --classifier imagenet_r101 C --write-predictions P.txt \\
        --class-ids map_clsloc.txt --cfg-options data.test.image_set=test
  a predictions file
    resdet eval-loc --predictions P.csv --ground-truth data/imagenet/LOC_val_solution.csv --excluded LIST
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of eval-loc."""
    add_config(parser, optional=True, checkpoint=True)
    _add_localizers(parser)
    _add_tests(parser)
    _add_classifiers(parser.add_argument_group("classes: the true one, or with --classifier its five most probable"))
    _add_output(parser)
    _add_files(parser.add_argument_group("scoring a predictions file, and what it needs"))
    add_test_arguments(parser)
    add_record(parser)


def _add_localizers(parser: argparse.ArgumentParser) -> None:
    add_checkpoints(parser, "weights of CONFIG's localizer; several are tested as an ensemble", default=[])
    add_ensemble_member(
        parser, "--net", "add another localizer to the ensemble: its config and weights; may be repeated"
    )
    parser.add_argument(
        "--rcnn",
        type=Path,
        nargs="+",
        default=[],
        metavar="R",
        help="weights of CONFIG's R-CNN stage, tested on the proposals of the last of --views; several are averaged",
    )
    add_ensemble_member(
        parser,
        "--rcnn-net",
        "average with another config's R-CNN stage: its config and weights; may be repeated",
        metavar=("CONFIG", "R"),
    )


def _add_tests(parser: argparse.ArgumentParser) -> None:
    add_views(parser, VIEWS, "the center crop, or the whole image at several scales (dense)")
    parser.add_argument(
        "--flip", action="store_true", help="also test the mirror images, and mirrored crops in the R-CNN stage"
    )
    add_sides(
        parser,
        "--scales",
        "short sides of the dense test, in pixels, given for 224-pixel crops (default: the config's data.scales)",
    )
    add_number(
        parser,
        "--vote",
        PositiveShare,
        "replace the best box by the score-weighted mean of all boxes with at least this IoU to it, above 0 and "
        "up to 1 (default: the config's data.vote)",
        metavar="IOU",
    )


def _add_classifiers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--classifier",
        nargs="*",
        action="append",
        default=[],
        metavar=("CONFIG", "F"),
        help="a classifier's config and its weights; several files are an ensemble; without them those of CONFIG's "
        "section classifier",
    )
    add_ensemble_member(
        group, "--classifier-net", "add another classifier to the ensemble: its config and weights; may be repeated"
    )
    group.add_argument(
        "--classifier-views",
        choices=CLASSIFIER_VIEWS,
        help="how the classifiers test images (default: the section's, else center)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    add_output(
        parser,
        "--write-predictions",
        "FILE",
        "write the predictions of the last of --views (with --rcnn, after the R-CNN stage): in ILSVRC's format if FILE "
        "ends in .txt, else in Kaggle's",
    )
    add_output(
        parser,
        "--pictures",
        "DIR",
        "draw the worst and the best boxes into DIR (without DIR: eval_pictures beside the checkpoint)",
        nargs="?",
        const=IN_RUN,
    )


def _add_files(group: argparse._ArgumentGroup) -> None:
    add_path(group, "--predictions", "P", "score this file, in ILSVRC's or Kaggle's format")
    add_path(group, "--ground-truth", "CSV", "the true boxes for --predictions: LOC_val_solution.csv")
    add_path(group, "--excluded", "LIST", "a file of images that are not scored, by number or id")
    add_path(group, "--mapping", "TXT", "LOC_synset_mapping.txt, the classes (default: the one beside --ground-truth)")
    add_path(
        group,
        "--class-ids",
        "MAP",
        "map_clsloc.txt of the development kit, which holds the class numbers of ILSVRC's format",
    )
    add_path(
        group,
        "--image-list",
        "TXT",
        "the images in order, for ILSVRC's format (default: ILSVRC/ImageSets/CLS-LOC/val.txt beside CSV)",
    )
