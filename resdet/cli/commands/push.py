"""Run push: publish a trained detector on the Hugging Face Hub."""

from __future__ import annotations

import argparse

from resdet.cli.common.options import parse_options
from resdet.recipes.detection.push import push_detector


def run(args: argparse.Namespace) -> None:
    """Upload the detector, and print how to use it."""
    options = parse_options(args.cfg_options)
    address = push_detector(args.checkpoint, args.repo, args.private, args.message, args.config, options)
    print(f"{address}, use it with: resdet predict hf://{args.repo} photo.jpg")
