"""Run predict: detect in images or a video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from resdet.cli.common.config import nets_of, print_config
from resdet.cli.common.improvements import inference_settings
from resdet.detection.inference import InferenceSettings
from resdet.engine.allocator import keep_freed_memory
from resdet.engine.distributed import is_main_process, join_processes
from resdet.engine.kept_config import is_checkpoint
from resdet.errors import UserError
from resdet.recipes.detection.detector import make_detector
from resdet.recipes.detection.predict import PredictOptions, PredictResult, predict_files
from resdet.recipes.detection.predict_folder import WHOLE
from resdet.recipes.detection.tiling import Tiling
from resdet.recipes.detection.video_frames import is_stream


def run(args: argparse.Namespace) -> None:
    """Write the drawn pictures, detections.jsonl and detections.json; exit code 1 if an image cannot be read."""
    tiling = _tiling(args)
    _place_checkpoint(args)
    checkpoints = [args.checkpoint, *args.ensemble]
    print_config(args, checkpoints)
    nets = nets_of(args, checkpoints)
    testing = inference_settings(nets[0][0], args)
    if args.compare and testing == InferenceSettings() and not args.ensemble and tiling is None:
        raise UserError("--compare: there is nothing to compare with a plain test; add --refine, --scales, --tile ...")
    device = join_processes(args.launcher, args.device)
    keep_freed_memory(device)
    detector = make_detector(nets, str(device), args.precision, testing)
    plain = make_detector(nets[:1], str(device), args.precision, InferenceSettings()) if args.compare else None
    options = PredictOptions(args.threshold, args.save_annotations, args.overwrite, tiling)
    result = predict_files(detector, args.source, args.out, options, plain)
    if is_main_process():
        _print_result(result, args)
    if result.unreadable:
        sys.exit(1)


def _tiling(args: argparse.Namespace) -> Tiling | None:
    if args.tile is None and args.overlap is not None:
        raise UserError("--overlap is that of tiles: give --tile too")
    if args.tile is None:
        return None
    return Tiling(args.tile) if args.overlap is None else Tiling(args.tile, args.overlap)


def _print_result(result: PredictResult, args: argparse.Namespace) -> None:
    what = "picture" if result.video is None else "frame"
    drawn = f"{result.images} {what}{'' if result.images == 1 else 's'} in {result.video or args.out}"
    print(f"{drawn}, detections in {args.out / WHOLE}")
    if args.save_annotations:
        print(f"annotations: {args.out / args.save_annotations}")
    _print_empty(result, args.threshold)
    if result.unreadable:
        first = result.unreadable[0]["file"]
        count = f"{len(result.unreadable)} of {result.images + len(result.unreadable)} images could not be read"
        end = f'{count} and were left out (first: {first}); {WHOLE} lists them under "unreadable"'
        print(end, file=sys.stderr)


def _print_empty(result: PredictResult, threshold: float) -> None:
    if not result.empty:
        return
    line = f"nothing with a score of {threshold:g} or more in {result.empty} of them"
    if result.best_empty is None:
        print(f"{line}: the detector found nothing at all")
        return
    file, score = result.best_empty
    print(f"{line}; the best has {score:.2f}, in {file}: a lower --threshold shows it (with --overwrite)")


def _place_checkpoint(args: argparse.Namespace) -> None:
    """A checkpoint in the place of CONFIG keeps its own config; CHECKPOINT is then left out.

    Which of the words is which cannot be left to argparse: CHECKPOINT may be missing, and there may be several sources.
    """
    if is_checkpoint(args.config) and args.checkpoint is not None and not _is_weights(args.checkpoint):
        args.source, args.checkpoint = [args.checkpoint, *args.source], None
    if not is_checkpoint(args.config):
        if args.checkpoint is None and len(args.source) > 1 and _is_weights(args.source[0]):
            args.checkpoint = args.source.pop(0)  # an option stood between the two
        if args.checkpoint is None:
            sources = " ".join(args.source)
            raise UserError(f"which weights? give CONFIG CHECKPOINT {sources}, or a checkpoint in the place of CONFIG")
        args.checkpoint = Path(args.checkpoint)
        return
    if args.checkpoint is not None:
        raise UserError(f"{args.config} and {args.checkpoint}: give one checkpoint, further ones as --ensemble")
    args.checkpoint, args.config = Path(args.config), None


def _is_weights(text: str) -> bool:
    return is_checkpoint(text) and not is_stream(text)
