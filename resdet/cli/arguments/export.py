"""Write a trained model in one file for use elsewhere: ONNX, torch.export's .pt2, or .safetensors.

An .onnx file runs in ONNX Runtime without resdet and torch, by the script that is written beside it. A detector takes
an image of any size, uint8 [height, width, 3] in RGB, resized as its metadata say, and gives boxes, scores and labels.
RPN, pooling and NMS are inside. Precision is fp32. Appendix B's improvements are not exported. predict, eval-voc,
eval-coco, errors, serve, to-fiftyone and resdet.load_detector take the file like a checkpoint: the config of the
training is in its metadata. Classifiers and localizers take the centre crop, and run by their script alone.

--int8 DATA writes a detector's .onnx file whose convolutions compute in int8, for CPUs with VNNI, in a quarter of the
size. The ranges of all maps are measured on images of DATA: photographs such as the detector will see, or its training
set; without labels. Test images do not belong there.

A detector's .pt2 file is the same program for torch (resdet.detection.pt2.load_pt2).

A detector's .safetensors file has the weights, and as metadata the config of the training and the classes: predict,
eval-voc, eval-coco, errors and resdet.load_detector take it like a checkpoint, at about half of its size. No code of it
is run.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_config_options
from resdet.ranges import Count

FORMS = ("onnx", "pt2", "safetensors")
EXAMPLES = """
  resdet export runs/fruit_r18/last.pth --out detector.onnx
  python run_onnx.py detector.onnx photo.jpg --out drawn.jpg       # needs numpy, opencv-python and onnxruntime
  resdet export runs/fruit_r18/last.pth --out runs/fruit_r18/int8.onnx --int8 fruit_r18
  resdet eval-voc runs/fruit_r18/int8.onnx                         # its mAP, and the seconds per image
  resdet export runs/fruit_r18/last.pth --to safetensors           # runs/fruit_r18/last.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of export."""
    parser.add_argument("checkpoint", help="a checkpoint, or the name of a published detector")
    parser.add_argument("--config", help="its config, for weights that keep none (default: the checkpoint's)")
    parser.add_argument("--to", choices=FORMS, help="form of the file (default: as --out ends)")
    add_output(parser, "--out", "FILE", "the file to write (default: the checkpoint's name with the form's ending)")
    parser.add_argument(
        "--int8",
        metavar="DATA",
        help="compute in int8, calibrated on DATA: a folder of images, or a config or checkpoint, whose training set "
        "is used",
    )
    add_number(parser, "--int8-images", Count, "images to calibrate on, drawn evenly from DATA (default: 64)")
    add_config_options(parser)
