"""Score by COCO's rules, with pycocotools: a detector on its config's test set, or a file of results alone.

eval_coco.py CONFIG --checkpoint F
eval_coco.py CONFIG --checkpoint F F --refine --scales 400 600 800     an ensemble; App. B's improvements
eval_coco.py CONFIG --checkpoint F --write-results results.json        for COCO's server
eval_coco.py --annotations instances_val2017.json --results results.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

from resdet.cli.common import add_test_arguments, folder_of, run_command, write_json
from resdet.cli.testing import add_checkpoints, add_testing, refuse_configs, refuse_testing, testing_of
from resdet.data.detection.coco import COCODataset, write_results
from resdet.engine.config import load_config
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.errors import UserError
from resdet.recipes.detection.detect_with import detect_with
from resdet.recipes.detection.score import all_figures, print_evaluation, score, score_results


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/eval_coco.py and resdet-eval-coco."""
    run_command(_evaluate, arguments)


def _evaluate(arguments: list[str] | None) -> None:
    args = _parser().parse_args(arguments)
    if args.results or args.annotations:
        _score_file(args)
    else:
        _detect_and_score(args)


def _score_file(args: argparse.Namespace) -> None:
    refuse_testing(args, "--results, which are scored as they are")
    if not (args.results and args.annotations):
        raise UserError("--annotations and --results go together: the truth, and what was detected")
    evaluation, dataset, detections = score_results(args.annotations, args.results)
    print_evaluation(evaluation, dataset, detections)
    write_json(args.json, all_figures(evaluation, dataset, detections))


def _detect_and_score(args: argparse.Namespace) -> None:
    refuse_configs(args.checkpoint)
    if args.config is None:
        raise UserError("give a CONFIG and --checkpoint, or --annotations and --results")
    if not args.checkpoint:
        raise UserError("which weights? give --checkpoint runs/.../last.pth")
    cfg = load_config(args.config, args.cfg_options)
    run = start_run(folder_of(args.checkpoint[0]), args.device, args.precision, args.seed, args.launcher, log="eval")
    detections, data = detect_with(cfg, args.checkpoint, testing_of(cfg, args), run)
    if not is_main_process():
        return
    if args.write_results:
        if not hasattr(data.test, "category_ids"):  # a COCODataset, or a part of one
            raise UserError("--write-results: data.test is not COCO's; eval_voc.py --write-detections writes VOC's")
        write_results(args.write_results, cast(COCODataset, data.test), detections)
    evaluation = score(detections, data.test, "coco")
    print_evaluation(evaluation, data.test, detections)
    write_json(args.json, all_figures(evaluation, data.test, detections))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", help="a config file or the name of one")
    add_checkpoints(parser)
    parser.add_argument("--write-results", type=Path, metavar="FILE", help="also write COCO's results there")
    files = parser.add_argument_group("scoring a file alone")
    files.add_argument("--annotations", type=Path, metavar="FILE", help="instances_*.json")
    files.add_argument("--results", type=Path, metavar="FILE", help="a list of image_id, category_id, bbox, score")
    add_testing(parser)
    add_test_arguments(parser)
    return parser


if __name__ == "__main__":
    main()
