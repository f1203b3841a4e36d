"""Run predict: detect in images or a video."""

from __future__ import annotations

import argparse

from resdet.cli.common.improvements import inference_settings
from resdet.detection.inference import InferenceSettings
from resdet.errors import UserError
from resdet.recipes.detection.detector import load_detector
from resdet.recipes.detection.predict import predict_files
from resdet.recipes.sections import load_config


def run(args: argparse.Namespace) -> None:
    """Write the drawn pictures and detections.json."""
    cfg = load_config(args.config)
    checkpoints = [args.checkpoint, *args.ensemble]
    testing = inference_settings(cfg, args)
    if args.compare and testing == InferenceSettings() and not args.ensemble:
        raise UserError("--compare: there is nothing to compare with a plain test; add --refine, --scales ...")
    detector = load_detector(cfg, checkpoints, args.device, args.precision, testing)
    plain = None
    if args.compare:
        plain = load_detector(cfg, args.checkpoint, args.device, args.precision, InferenceSettings())
    count = predict_files(detector, args.source, args.out, args.threshold, plain)
    print(f"{count} pictures in {args.out}, figures in {args.out / 'detections.json'}")
