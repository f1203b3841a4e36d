"""Run export: write a detector as an ONNX file."""

from __future__ import annotations

import argparse

from resdet.recipes.detection.export import export_detector


def run(args: argparse.Namespace) -> None:
    """Write the file and the script, and print how to run them."""
    script = export_detector(args.checkpoint, args.out, args.config)
    print(f"{args.out} ({args.out.stat().st_size / 2**20:.1f} MiB), run it with: python {script} {args.out} photo.jpg")
