"""Run errors: analyse the errors of a detector."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.common.config import nets_of, print_config, require_checkpoint, take_checkpoint
from resdet.cli.common.output import write_json
from resdet.cli.common.run import start_test
from resdet.data.detection.annotations import DetectionDataset
from resdet.detection.inference import InferenceSettings
from resdet.engine.config import build_call
from resdet.engine.distributed import is_main_process
from resdet.engine.run import Run, environment
from resdet.metrics.flat import FlatDetections
from resdet.recipes.detection.error_analysis import analyse_errors, print_reports, write_report
from resdet.recipes.detection.error_page import error_page
from resdet.recipes.detection.error_pictures import worst_pictures
from resdet.recipes.detection.inference import detect_with
from resdet.report.page import write_page


def run(args: argparse.Namespace) -> None:
    """Detect, print the tables, and write them with the pictures."""
    take_checkpoint(args)
    print_config(args, args.checkpoint)
    require_checkpoint(args.checkpoint)
    started = start_test(args, args.checkpoint, log="errors")
    found, dataset = _detect(args, args.checkpoint, started)
    reports = [analyse_errors(found, dataset, args.score, _name(args.checkpoint[0]))]
    if args.against:
        other, _ = _detect(args, [args.against], started)
        reports.append(analyse_errors(other, dataset, args.score, _name(args.against)))
    if not is_main_process():
        return
    print_reports(reports)
    folder = args.out or started.work_dir / "errors"
    pictures = worst_pictures(reports[0], dataset, found, args.worst)
    write_report(reports[0], dataset, pictures, folder)
    write_page(folder / "errors.html", error_page(reports, pictures, started.command, environment(started)))
    print(f"tables and pictures are in {folder}")
    write_json(args.json, {"detectors": [report.plain(dataset.table.ids.tolist()) for report in reports]})


def _detect(args: argparse.Namespace, checkpoints: list[Path], run: Run) -> tuple[FlatDetections, DetectionDataset]:
    nets = nets_of(args, checkpoints)
    testing = build_call(InferenceSettings, nets[0][0].get("testing", {}))
    found, data = detect_with(nets, testing, run, scorable=True)
    return found, data.test


def _name(checkpoint: Path) -> str:
    return f"{checkpoint.parent.name}/{checkpoint.name}"
