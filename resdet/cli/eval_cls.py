"""Test classifiers: error by centre crop, ten crops or fully convolutionally; several checkpoints are an ensemble.

eval_cls.py CONFIG --checkpoint F
eval_cls.py CONFIG --checkpoint F G H --views center ten-crop dense
eval_cls.py imagenet_vgg16 --checkpoint VGG16_Weights.IMAGENET1K_V1     # torchvision's, by name or as a file
eval_cls.py imagenet_r152 --checkpoint F G --net imagenet_r101 H        # an ensemble of different depths
eval_cls.py imagenet_r50 --checkpoint F --submission answers.txt map_clsloc.txt --cfg-options data.test.image_set=test
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from resdet.cli.common import add_test_arguments, folder_of_weights, run_command, write_json
from resdet.engine.config import load_config
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.recipes.classification.evaluate import (
    View,
    evaluate_classifier,
    print_answers,
    write_predictions,
    write_submission,
)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/eval_cls.py and resdet-eval-cls."""
    run_command(_evaluate, arguments)


def _evaluate(arguments: list[str] | None) -> None:
    args = _parser().parse_args(arguments)
    cfg = load_config(args.config, args.cfg_options)
    run = start_run(
        folder_of_weights(args.checkpoint[0]), args.device, args.precision, args.seed, args.launcher, log="eval"
    )
    nets = [(cfg, path) for path in args.checkpoint]
    nets += [(load_config(config), Path(path)) for config, path in args.net]
    answers = evaluate_classifier(cfg, run, nets, args.views)
    if not is_main_process():
        return
    if args.predictions:
        write_predictions(args.predictions, answers)
    if args.submission:
        write_submission(args.submission[0], answers, args.submission[1])
    if not answers.labelled:
        print(f"{len(answers.labels)} images without labels: no errors to compute")
        return
    print_answers(answers)
    write_json(args.json, answers.figures() | {"confusion": answers.confusion().tolist()})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a config file or the name of one")
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, metavar="F", help="of CONFIG, of any known origin"
    )
    parser.add_argument(
        "--net",
        nargs=2,
        action="append",
        default=[],
        metavar=("CONFIG", "F"),
        help="of another net, for the ensemble; --cfg-options are CONFIG's alone",
    )
    parser.add_argument("--views", nargs="+", choices=get_args(View), default=["center"])
    parser.add_argument("--predictions", type=Path, metavar="CSV", help="write the five best classes of every image")
    parser.add_argument(
        "--submission",
        type=Path,
        nargs=2,
        metavar=("TXT", "MAP"),
        help="write ILSVRC's file; MAP is map_clsloc.txt of its development kit",
    )
    add_test_arguments(parser)
    return parser


if __name__ == "__main__":
    main()
