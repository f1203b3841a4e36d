"""Run serve: a page in the browser on which a detector is tried."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.common.options import parse_options
from resdet.recipes.detection.detector import make_detector
from resdet.recipes.detection.serve import make_app, require_gradio, serve
from resdet.recipes.trained import trained_net


def run(args: argparse.Namespace) -> None:
    """Load the detector and serve the page until Ctrl-C."""
    require_gradio()  # before weights are read
    net = trained_net(args.checkpoint, args.config, parse_options(args.cfg_options))
    detector = make_detector([net], args.device, args.precision)
    serve(make_app(detector, _title(args.checkpoint), args.threshold), args.host, args.port)


def _title(checkpoint: str) -> str:
    """The run's folder, or the end of a name: "mine" for runs/mine/last.pth."""
    path = Path(checkpoint)
    return path.resolve().parent.name if path.is_file() else path.name
