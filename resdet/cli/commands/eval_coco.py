"""Run eval-coco: score a detector, or a results file, by COCO's rules."""

from __future__ import annotations

import argparse
from typing import cast

from resdet.cli.common.config import nets_of, print_config, require_checkpoint, take_checkpoint
from resdet.cli.common.improvements import inference_settings, refuse_configs, refuse_improvements
from resdet.cli.common.output import write_json
from resdet.cli.common.recording import Recording, percent, refuse_record
from resdet.cli.common.run import start_test
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.coco_results import write_results
from resdet.engine.distributed import is_main_process
from resdet.errors import UserError
from resdet.recipes.detection.inference import detect_with
from resdet.recipes.detection.score import all_figures, print_evaluation, score, score_results


def run(args: argparse.Namespace) -> None:
    """Print the figures, and write what the options ask for."""
    (_score_file if args.results or args.annotations else _detect_and_score)(args)


def _score_file(args: argparse.Namespace) -> None:
    refuse_record(args)
    refuse_improvements(args, "--results, which are scored as they are")
    if not (args.results and args.annotations):
        raise UserError("--annotations and --results go together: the ground truth, and what was detected")
    evaluation, dataset, detections = score_results(args.annotations, args.results)
    print_evaluation(evaluation, dataset, detections)
    write_json(args.json, all_figures(evaluation, dataset, detections))


def _detect_and_score(args: argparse.Namespace) -> None:
    refuse_configs(args.checkpoint)
    if args.config is None and not args.checkpoint:
        raise UserError("give a checkpoint, or CONFIG and --checkpoint, or --annotations and --results")
    take_checkpoint(args)
    print_config(args, args.checkpoint)
    require_checkpoint(args.checkpoint)
    started = start_test(args, args.checkpoint, log="eval")
    nets = nets_of(args, args.checkpoint)
    recording = Recording(args, nets[0][0], started, [path for _, path in nets])
    detections, data = detect_with(nets, inference_settings(nets[0][0], args), started)
    if not is_main_process():
        return
    if args.write_results:
        if not hasattr(data.test, "category_ids"):  # a COCODataset, or a part of one
            raise UserError(
                "--write-results: data.test is not COCO's; 'resdet eval-voc --write-detections' writes VOC's"
            )
        write_results(args.write_results, cast(COCODataset, data.test), detections)
    evaluation = score(detections, data.test, "coco")
    print_evaluation(evaluation, data.test, detections)
    write_json(args.json, all_figures(evaluation, data.test, detections))
    recording.write({"": percent(evaluation.figures)}, data.test.table.ids.tolist())
