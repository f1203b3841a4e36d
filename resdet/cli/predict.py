"""Detect in an image, a folder of images or a video: drawn pictures and a JSON file."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.common import run_command
from resdet.cli.testing import add_testing, testing_of
from resdet.detection.inference import Testing
from resdet.engine.config import load_config
from resdet.errors import UserError
from resdet.recipes.detection.predict import load_detector, predict_files


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/predict.py and resdet-predict."""
    run_command(_predict, arguments)


def _predict(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="a config file or the name of one")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--ensemble", type=Path, nargs="+", default=[], metavar="F", help="further checkpoints, after SOURCE"
    )
    parser.add_argument("source", type=Path, help="an image, a folder of images, or a video")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder for pictures and detections.json")
    parser.add_argument("--threshold", type=float, default=0.5, help="lowest score that is drawn and written")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"])
    parser.add_argument(
        "--compare", action="store_true", help="draw each image's plain test on the left (not of videos)"
    )
    add_testing(parser)
    args = parser.parse_args(arguments)
    cfg = load_config(args.config)
    checkpoints = [args.checkpoint, *args.ensemble]
    testing = testing_of(cfg, args)
    if args.compare and testing == Testing() and not args.ensemble:
        raise UserError("--compare: there is nothing to compare with a plain test; add --refine, --scales ...")
    detector = load_detector(cfg, checkpoints, args.device, args.precision, testing)
    plain = load_detector(cfg, args.checkpoint, args.device, args.precision, Testing()) if args.compare else None
    count = predict_files(detector, args.source, args.out, args.threshold, plain)
    print(f"{count} pictures in {args.out}, figures in {args.out / 'detections.json'}")


if __name__ == "__main__":
    main()
