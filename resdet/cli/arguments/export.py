"""Write a detector as an ONNX file, which ONNX Runtime runs without resdet and torch, with a script that runs it.

The file takes an image of any size, uint8 [height, width, 3] in RGB, resized as its metadata say, and gives boxes,
scores and labels. RPN, pooling and NMS are inside. Precision is fp32. Appendix B's improvements are not exported.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.shared import add_path

EXAMPLES = """
  resdet export runs/fruit_r18/last.pth --out detector.onnx
  python run_onnx.py detector.onnx photo.jpg --out drawn.jpg       # needs numpy, opencv-python and onnxruntime
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of export."""
    parser.add_argument("checkpoint", help="a detector's checkpoint")
    parser.add_argument("--config", help="its config, for weights that keep none (default: the checkpoint's)")
    add_path(parser, "--out", "FILE", "the ONNX file to write; run_onnx.py is written beside it", required=True)
