"""Localization error by ILSVRC's rules, as in Tables 13 and 14: of localizers, or of files of predictions alone.

eval_loc.py CONFIG --checkpoint F --views 1-crop dense                         the true class's box ("oracle")
eval_loc.py CONFIG --checkpoint F --views dense --classifier imagenet_r101 C   and a box for each of C's best five
eval_loc.py CONFIG --checkpoint F G --net CONFIG2 H                            an ensemble
eval_loc.py CONFIG --checkpoint F --views dense --rcnn R                       and R's boxes among F's proposals
eval_loc.py CONFIG --checkpoint F --classifier imagenet_r101 C --classifier-net imagenet_r152 D
eval_loc.py CONFIG --checkpoint F --classifier imagenet_r101 C --cfg-options data.test.image_set=test
            --write-predictions P.txt --class-ids map_clsloc.txt               what ILSVRC's server scores
eval_loc.py --predictions P.csv --ground-truth data/imagenet/LOC_val_solution.csv --excluded LIST
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import get_args

from resdet.cli.common import add_test_arguments, folder_of, run_command, write_json
from resdet.engine.config import load_config
from resdet.engine.distributed import is_main_process
from resdet.engine.run import make_folder, start_run
from resdet.errors import UserError
from resdet.recipes.classification import evaluate as evaluate_classifier
from resdet.recipes.localization.build import build_localization_data, require_localizer
from resdet.recipes.localization.evaluate import ClassChoice, evaluate_localizer
from resdet.recipes.localization.inference import Test, Views
from resdet.recipes.localization.score import print_evaluation, score_files, server_numbers, write_predictions
from resdet.report.drawing import save_image
from resdet.report.localization import guess_sheets

OF_THE_RUN = Path("RUN/eval_pictures")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/eval_loc.py and resdet-eval-loc."""
    run_command(_evaluate, arguments)


def _evaluate(arguments: list[str] | None) -> None:
    args = _parser().parse_args(arguments)
    if args.predictions:
        _score_files(args)
    else:
        _localize_and_score(args)


def _score_files(args: argparse.Namespace) -> None:
    if args.ground_truth is None:
        raise UserError("--predictions needs --ground-truth too: LOC_val_solution.csv of the set they are of")
    found = score_files(
        args.predictions, args.ground_truth, args.excluded, args.mapping, args.class_ids, args.image_list
    )
    print_evaluation(found)
    write_json(args.json, found.figures())


def _localize_and_score(args: argparse.Namespace) -> None:
    if not args.config or not args.checkpoint:
        raise UserError("which localizer? give CONFIG --checkpoint runs/.../last.pth, or --predictions FILE")
    _refuse_idle_options(args)
    _refuse_unwritable_files(args)
    cfg = load_config(args.config, args.cfg_options)
    require_localizer(cfg, "data.test")
    localizers = [(cfg, path) for path in args.checkpoint]
    localizers += [(load_config(config), Path(path)) for config, path in args.net]
    rcnns = [(cfg, path) for path in args.rcnn]
    rcnns += [(load_config(config), Path(path)) for config, path in args.rcnn_net]
    choice = _class_choice(args)
    tests = [Test(views, args.flip, args.scales and tuple(args.scales), args.vote) for views in args.views]
    run = start_run(folder_of(args.checkpoint[0]), args.device, args.precision, args.seed, args.launcher, log="eval")
    data = build_localization_data(cfg, train=False)
    if not data.test.labelled:
        _refuse_what_needs_truth(args)
    if args.write_predictions:
        server_numbers(args.write_predictions, data.test.classes, args.class_ids)
    found = evaluate_localizer(data, run, localizers, tests, choice, args.excluded, rcnns)
    if not is_main_process():
        return
    print_evaluation(found)
    write_json(args.json, found.figures())  # first what took longest
    if args.write_predictions:
        write_predictions(args.write_predictions, found, args.class_ids)
    if args.pictures:
        folder = run.work_dir / args.pictures.name if args.pictures == OF_THE_RUN else args.pictures
        for name, sheet in guess_sheets(data.test, found.last).items():
            save_image(folder / f"{name}.jpg", sheet)
        print(f"pictures: {folder}")


def _class_choice(args: argparse.Namespace) -> ClassChoice | None:
    if not args.classifier:
        return None
    config, *files = args.classifier[0]
    if not files:
        raise UserError(f"--classifier {config}: give its checkpoints too")
    own = load_config(config)
    nets = [(own, Path(file)) for file in files]
    nets += [(load_config(other), Path(file)) for other, file in args.classifier_net]
    return ClassChoice(nets, args.classifier_views or "center")


def _refuse_idle_options(args: argparse.Namespace) -> None:
    """An option that would change nothing is a mistake: something else was meant."""
    if args.scales and "dense" not in args.views:
        raise UserError("--scales are the dense test's: give --views dense too, or leave --scales out")
    if len(args.classifier) > 1:
        raise UserError(f"--classifier is given twice: another config's is --classifier-net {args.classifier[1][0]} F")
    for option, value in (("views", args.classifier_views), ("net", args.classifier_net)):
        if value and not args.classifier:
            raise UserError(f"--classifier-{option} needs --classifier CONFIG F, which names the classes")


def _refuse_unwritable_files(args: argparse.Namespace) -> None:
    """Before the test, which may take hours, not after it."""
    for option, path in (("--json", args.json), ("--write-predictions", args.write_predictions)):
        if path is None:
            continue
        make_folder(path.parent)
        place = path if path.exists() else path.parent
        if path.is_dir() or not os.access(place, os.W_OK):
            raise UserError(f"{option} {path} cannot be written; give the name of a file in a folder of yours")
    if args.pictures and args.pictures != OF_THE_RUN:
        make_folder(args.pictures)


def _refuse_what_needs_truth(args: argparse.Namespace) -> None:
    if not args.classifier or not args.write_predictions:
        raise UserError(
            "data.test has no truth to compare with: give --classifier CONFIG F, which names five classes for each "
            "image, and --write-predictions FILE"
        )
    if args.pictures or args.excluded:
        raise UserError("data.test has no truth: leave out --pictures, which draw it, and --excluded")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", help="a config file or the name of one")
    parser.add_argument("--checkpoint", type=Path, nargs="+", metavar="F", help="of CONFIG; several are an ensemble")
    parser.add_argument(
        "--net", nargs=2, action="append", default=[], metavar=("CONFIG", "F"), help="of another net, for the ensemble"
    )
    parser.add_argument(
        "--rcnn", type=Path, nargs="+", default=[], metavar="R", help="CONFIG's R-CNN stage, after the last of --views"
    )
    parser.add_argument(
        "--rcnn-net", nargs=2, action="append", default=[], metavar=("CONFIG", "R"), help="another net's, to average"
    )
    parser.add_argument("--views", nargs="+", choices=get_args(Views), default=["1-crop"])
    parser.add_argument("--flip", action="store_true", help="look at mirror images too, R's crops among them")
    parser.add_argument("--scales", type=int, nargs="+", metavar="PX", help="short sides for crops of 224, of dense")
    parser.add_argument(
        "--vote", type=float, metavar="IOU", help="the mean of all boxes with this IoU to the best (data.vote)"
    )
    group = parser.add_argument_group("classes: the true one, and with --classifier its five most probable")
    group.add_argument(
        "--classifier",
        nargs="+",
        action="append",
        default=[],
        metavar=("CONFIG", "F"),
        help="a config and its checkpoints",
    )
    group.add_argument(
        "--classifier-net", nargs=2, action="append", default=[], metavar=("CONFIG", "F"), help="another, to average"
    )
    group.add_argument(
        "--classifier-views", choices=get_args(evaluate_classifier.View), help="how they look at images (center)"
    )
    group = parser.add_argument_group("files")
    group.add_argument(
        "--write-predictions", type=Path, metavar="FILE", help="of the last row; .txt is ILSVRC's form, else Kaggle's"
    )
    group.add_argument("--predictions", type=Path, metavar="P", help="score this file, of either form, alone")
    group.add_argument("--ground-truth", type=Path, metavar="CSV", help="LOC_val_solution.csv")
    group.add_argument("--excluded", type=Path, metavar="LIST", help="images that do not count, by number or id")
    group.add_argument("--mapping", type=Path, metavar="TXT", help="LOC_synset_mapping.txt (beside the ground truth)")
    group.add_argument("--class-ids", type=Path, metavar="MAP", help="map_clsloc.txt, for ILSVRC's form")
    group.add_argument(
        "--image-list", type=Path, metavar="TXT", help="ImageSets/CLS-LOC/val.txt (below the same place)"
    )
    group.add_argument(
        "--pictures",
        type=Path,
        nargs="?",
        const=OF_THE_RUN,
        metavar="DIR",
        help=f"draw the worst and the best ({OF_THE_RUN})",
    )
    add_test_arguments(parser)
    return parser


if __name__ == "__main__":
    main()
