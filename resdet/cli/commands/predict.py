"""Run predict: detect in images or a video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from resdet.cli.common.config import nets_of, print_config
from resdet.cli.common.improvements import inference_settings
from resdet.detection.inference import InferenceSettings
from resdet.engine.kept_config import is_checkpoint
from resdet.errors import UserError
from resdet.recipes.detection.detector import make_detector
from resdet.recipes.detection.predict import PredictOptions, PredictResult, predict_files
from resdet.recipes.detection.predict_records import WHOLE


def run(args: argparse.Namespace) -> None:
    """Write the drawn pictures, detections.jsonl and detections.json; exit code 1 if an image cannot be read."""
    _place_checkpoint(args)
    checkpoints = [args.checkpoint, *args.ensemble]
    print_config(args, checkpoints)
    nets = nets_of(args, checkpoints)
    testing = inference_settings(nets[0][0], args)
    if args.compare and testing == InferenceSettings() and not args.ensemble:
        raise UserError("--compare: there is nothing to compare with a plain test; add --refine, --scales ...")
    detector = make_detector(nets, args.device, args.precision, testing)
    plain = None
    if args.compare:
        plain = make_detector(nets[:1], args.device, args.precision, InferenceSettings())
    options = PredictOptions(args.threshold, args.save_annotations, args.overwrite)
    result = predict_files(detector, args.source, args.out, options, plain)
    pictures = f"{result.images} picture{'' if result.images == 1 else 's'}"
    print(f"{pictures} in {args.out}, detections in {args.out / WHOLE}")
    if args.save_annotations:
        print(f"annotations: {args.out / args.save_annotations}")
    _print_empty(result, args.threshold)
    if result.unreadable:
        first = result.unreadable[0]
        count = f"{len(result.unreadable)} of {result.images + len(result.unreadable)} images could not be read"
        sys.exit(f'{count} and were left out (first: {first["file"]}); {WHOLE} lists them under "unreadable"')


def _print_empty(result: PredictResult, threshold: float) -> None:
    if not result.empty:
        return
    line = f"nothing with a score of {threshold:g} or more in {result.empty} of them"
    if result.best_empty is None:
        print(f"{line}: the detector found nothing at all")
        return
    file, score = result.best_empty
    print(f"{line}; the best has {score:.2f}, in {file}: --threshold lowers the limit")


def _place_checkpoint(args: argparse.Namespace) -> None:
    """A checkpoint in the place of CONFIG keeps its own config; CHECKPOINT is then left out.

    Which of the words is which cannot be left to argparse: CHECKPOINT may be missing, and there may be several sources.
    """
    if is_checkpoint(args.config) and args.checkpoint is not None and not is_checkpoint(args.checkpoint):
        args.source, args.checkpoint = [str(args.checkpoint), *args.source], None
    if not is_checkpoint(args.config):
        if args.checkpoint is None and len(args.source) > 1 and is_checkpoint(args.source[0]):
            args.checkpoint = Path(args.source.pop(0))  # an option stood between the two
        if args.checkpoint is None:
            sources = " ".join(args.source)
            raise UserError(f"which weights? give CONFIG CHECKPOINT {sources}, or a checkpoint in the place of CONFIG")
        return
    if args.checkpoint is not None:
        raise UserError(f"{args.config} and {args.checkpoint}: give one checkpoint, further ones as --ensemble")
    args.checkpoint, args.config = Path(args.config), None
