"""Run to-fiftyone: write truth and detections for FiftyOne."""

from __future__ import annotations

import argparse

from resdet.cli.common.config import nets_of, print_config, require_checkpoint, take_checkpoint
from resdet.cli.common.output import write_json
from resdet.cli.common.run import start_test
from resdet.detection.inference import InferenceSettings
from resdet.engine.config import build_call
from resdet.engine.distributed import is_main_process
from resdet.recipes.detection.fiftyone_files import SCRIPT, write_fiftyone
from resdet.recipes.detection.inference import detect_with


def run(args: argparse.Namespace) -> None:
    """Detect in the test set, and write the folder."""
    take_checkpoint(args)
    print_config(args, args.checkpoint)
    require_checkpoint(args.checkpoint)
    started = start_test(args, args.checkpoint, log="fiftyone")
    nets = nets_of(args, args.checkpoint)
    testing = build_call(InferenceSettings, nets[0][0].get("testing", {}))
    found, data = detect_with(nets, testing, started)
    if not is_main_process():
        return
    folder = args.out or started.work_dir / "fiftyone"
    write_fiftyone(data.test, found, folder)
    counts = f"{len(found)} detections in {len(data.test)} images"
    print(f"{counts} are in {folder}; open them with: python {folder}/{SCRIPT.name}")
    write_json(args.json, {"images": len(data.test), "detections": len(found)})
