"""Write a classifier's or a detector's weights under another project's names, for use outside of resdet.

The preprocessing that the weights expect is printed. Where it is not torchvision's, the file holds it too: a .pth then
is {"state_dict", "mean", "std"}, a .safetensors file has it as metadata.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.outputs import add_output

FORMS = ("torchvision", "cifar", "detectron2")
EXAMPLES = """
  resdet export-weights runs/mine/last.pth --to torchvision --out resnet18.pth
  resdet export-weights runs/mine/last.pth --to torchvision --out resnet18.safetensors
  resdet export-weights runs/coco_r101/last.pth --to detectron2 --out r101_c4.pkl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of export-weights."""
    parser.add_argument("weights", help="a checkpoint, or weights of any project whose files resdet reads")
    parser.add_argument(
        "--to", choices=FORMS, default="torchvision", help="the project whose names to use (default: %(default)s)"
    )
    add_output(parser, "--out", "FILE", "the file to write: .pth or .safetensors, for detectron2 .pkl", required=True)
