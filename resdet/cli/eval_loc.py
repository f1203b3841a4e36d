"""Localization error by ILSVRC's rules, as in Tables 13 and 14: of localizers, or of files of predictions alone.

eval_loc.py CONFIG --checkpoint F --views 1-crop dense                         the true class's box ("oracle")
eval_loc.py CONFIG --checkpoint F --views dense --classifier imagenet_r101 C   and a box for each of C's best five
eval_loc.py CONFIG --checkpoint F G --net CONFIG2 H                            an ensemble
eval_loc.py CONFIG --checkpoint F --views dense --rcnn R                       and R's boxes among F's proposals
eval_loc.py --predictions P.csv --ground-truth data/imagenet/LOC_val_solution.csv --excluded LIST
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from resdet.cli.common import add_test_arguments, folder_of, run_command, write_json
from resdet.engine.config import load_config
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.errors import UserError
from resdet.recipes import evaluate_classifier
from resdet.recipes.evaluate_localizer import ClassChoice, evaluate_localizer
from resdet.recipes.localize_all import Test, Views
from resdet.recipes.score_localization import print_evaluation, score_files, write_predictions
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
    cfg = load_config(args.config, args.cfg_options)
    localizers = [(cfg, path) for path in args.checkpoint]
    localizers += [(load_config(config), Path(path)) for config, path in args.net]
    rcnns = [(cfg, path) for path in args.rcnn]
    rcnns += [(load_config(config), Path(path)) for config, path in args.rcnn_net]
    choice = None
    if args.classifier:
        config, *files = args.classifier
        if not files:
            raise UserError(f"--classifier {config}: give its checkpoints too")
        choice = ClassChoice(load_config(config), [Path(file) for file in files], args.classifier_views)
    scales = tuple(args.scales) if args.scales else None
    tests = [Test(views, args.flip, scales) for views in args.views]
    run = start_run(folder_of(args.checkpoint[0]), args.device, args.precision, args.seed, args.launcher, log="eval")
    found = evaluate_localizer(cfg, run, localizers, tests, choice, args.excluded, rcnns)
    if not is_main_process():
        return
    print_evaluation(found)
    if args.write_predictions:
        write_predictions(args.write_predictions, found, args.class_ids)
    if args.pictures and found.dataset is not None:
        folder = run.work_dir / args.pictures.name if args.pictures == OF_THE_RUN else args.pictures
        for name, sheet in guess_sheets(found.dataset, found.last.guesses).items():
            save_image(folder / f"{name}.jpg", sheet)
        print(f"pictures: {folder}")
    write_json(args.json, found.figures())


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
    parser.add_argument("--flip", action="store_true", help="look at mirror images too")
    parser.add_argument("--scales", type=int, nargs="+", metavar="PX", help="short sides for crops of 224, of dense")
    group = parser.add_argument_group("classes: the true one, and with --classifier its five most probable")
    group.add_argument("--classifier", nargs="+", metavar=("CONFIG", "F"), help="a config and its checkpoints")
    group.add_argument("--classifier-views", choices=get_args(evaluate_classifier.View), default="center")
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
