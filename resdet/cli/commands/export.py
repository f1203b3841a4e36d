"""Run export: write a trained detector, classifier or localizer in one file for use elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from resdet.cli.common.options import parse_options
from resdet.errors import UserError
from resdet.recipes.classification.export import export_classifier
from resdet.recipes.detection.export import export_detector
from resdet.recipes.detection.quantize import CALIBRATION_IMAGES, Calibration
from resdet.recipes.localization.export import export_localizer
from resdet.recipes.sections import load_config, task_of

EXPORTERS: dict[str, Callable[..., Path | None]] = {
    "detector": export_detector, "classifier": export_classifier, "localizer": export_localizer
}  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Write the file, and for ONNX the script, and print how to use them."""
    out = _target(args)
    options = parse_options(args.cfg_options)
    task = task_of(load_config(args.config or args.checkpoint, options))
    export = EXPORTERS[task]
    if args.int8 is None and args.int8_images is not None:
        raise UserError("--int8-images is the number of images for --int8 DATA: give it too")
    if args.int8 is not None:
        if task != "detector":
            raise UserError(f"--int8 is for detectors, {args.checkpoint} is a {task}; leave it out for fp32")
        export = partial(export_detector, int8=Calibration(args.int8, args.int8_images or CALIBRATION_IMAGES))
    script = export(args.checkpoint, out, args.config, options)
    size = f"{out} ({out.stat().st_size / 2**20:.1f} MiB)"
    if script is not None:
        print(f"{size}, run it with: python {script} {out} photo.jpg")
        if task == "detector":
            print(f"or use it as a checkpoint: resdet predict {out} photo.jpg")
    elif out.suffix == ".pt2":
        print(f"{size}, load it with: resdet.detection.pt2.load_pt2({str(out)!r})")
    else:
        print(f"{size}, use it as a checkpoint: resdet predict {out} photo.jpg")


def _target(args: argparse.Namespace) -> Path:
    """--out; without it the checkpoint's path with another suffix."""
    if args.out is None and args.to is None:
        raise UserError("which form? give --to onnx, or --out with a name that ends in .onnx")
    if args.out is None:
        if not Path(args.checkpoint).is_file():
            raise UserError(f"{args.checkpoint}: no such file; a name's export needs --out")
        return Path(args.checkpoint).with_suffix(f".{args.to}")
    if args.to is not None and args.out.suffix != f".{args.to}":
        raise UserError(f"--out {args.out} does not end in .{args.to}, as --to says; leave --to out or change the name")
    return Path(args.out)
