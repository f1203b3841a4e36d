"""Run eval-voc: score a detector, or comp4 files, by the rules of PASCAL VOC or ImageNet DET."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from resdet.cli.arguments.eval_voc import DEFAULT_CONFIG
from resdet.cli.common.config import nets_of, print_config, require_checkpoint, take_checkpoint
from resdet.cli.common.improvements import inference_settings, refuse_configs, refuse_improvements
from resdet.cli.common.output import write_json
from resdet.cli.common.recording import Recording, percent, refuse_record
from resdet.cli.common.run import start_test
from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.comp4 import write_comp4, write_comp4_archive
from resdet.data.detection.imagenet_det import ImageNetDETDataset, write_det_submission
from resdet.data.detection.voc import VOCDataset
from resdet.engine.distributed import is_main_process
from resdet.errors import UserError
from resdet.metrics.flat import FlatDetections
from resdet.metrics.precision_recall import Method
from resdet.recipes.detection.inference import detect_with
from resdet.recipes.detection.score import all_figures, print_evaluation, score, score_comp4

DEFAULT_CHECKPOINT = Path("runs/shapes_det/last.pth")


def run(args: argparse.Namespace) -> None:
    """Print the figures, and write what the options ask for."""
    (_score_files if args.detections else _detect_and_score)(args)


def _score_files(args: argparse.Namespace) -> None:
    refuse_record(args)
    refuse_improvements(args, "--detections, which are scored as they are")
    missing = [o for o in ("voc_root", "year", "image_set") if getattr(args, o) is None]
    if missing:
        raise UserError(f"--detections needs --{missing[0].replace('_', '-')} too: which images were these?")
    method: Method = args.method or "area"
    evaluation, dataset, detections = score_comp4(
        args.detections, args.voc_root, args.year, args.image_set, args.classes, method
    )
    print_evaluation(evaluation, dataset, detections)
    write_json(args.json, all_figures(evaluation, dataset, detections))


def _detect_and_score(args: argparse.Namespace) -> None:
    take_checkpoint(args)
    refuse_configs(args.checkpoint)
    default = "" if args.config or args.checkpoint else DEFAULT_CONFIG
    print_config(args, args.checkpoint, default)
    checkpoints = [_default_checkpoint()] if default else args.checkpoint
    require_checkpoint(checkpoints)
    started = start_test(args, checkpoints, log="eval")
    nets = nets_of(args, checkpoints, default)
    cfg = nets[0][0]
    recording = Recording(args, cfg, started, [path for _, path in nets])
    detections, data = detect_with(nets, inference_settings(cfg, args), started)
    if not is_main_process():
        return
    dataset, usual = data.test, "area" if data.method == "coco" else data.method
    evaluation = score(detections, dataset, args.method or usual)
    print_evaluation(evaluation, dataset, detections)
    if args.write_detections:
        ids = dataset.table.ids.tolist()
        write_comp4(args.write_detections, _image_set(cfg.data.test), dataset.classes, ids, detections)
    if args.write_submission:
        _write_submission(args.write_submission, cfg.data.test, dataset, detections)
    write_json(args.json, all_figures(evaluation, dataset, detections))
    recording.write({"": percent(evaluation.figures)}, dataset.table.ids.tolist())


def _write_submission(
    path: Path, node: Mapping[str, Any], dataset: DetectionDataset, detections: FlatDetections
) -> None:
    if hasattr(dataset, "class_ids"):  # an ImageNetDETDataset, or a part of one
        write_det_submission(path, cast(ImageNetDETDataset, dataset), detections)
        return
    if not isinstance(dataset, VOCDataset):
        raise UserError(
            "--write-submission: data.test is neither VOC's nor ImageNet DET's; 'resdet eval-coco' writes COCO's"
        )
    year, image_set = node["splits"][-1]
    write_comp4_archive(path, year, image_set, dataset.classes, dataset.table.ids.tolist(), detections)


def _image_set(node: Mapping[str, Any]) -> str:
    """The image set in the names of comp4 files: VOC's own, "test" for data sets of another format."""
    if node["type"] is VOCDataset:
        return str(node["splits"][-1][1])
    image_set = node.get("image_set")
    return image_set if isinstance(image_set, str) else "test"


def _default_checkpoint() -> Path:
    if not DEFAULT_CHECKPOINT.is_file():
        raise UserError(f"{DEFAULT_CHECKPOINT} is not there yet: run 'make demo', or give a CONFIG and --checkpoint")
    return DEFAULT_CHECKPOINT
