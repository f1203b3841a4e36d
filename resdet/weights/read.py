"""Read a weights file of another project or our own, or download one by name.

    weights = read_weights("R-50.pkl")                            # MSRA's ResNet-50 as Detectron publishes it
    weights = read_weights("msra://R-50")                         # the same, downloaded (weights/zoo.py)
    weights = read_weights("ResNet50_Weights.IMAGENET1K_V1")      # torchvision's
    weights = read_weights("caffe:vgg16_caffe.pth")               # Caffe's net under torchvision's names

Supported are

- torchvision's ResNets and VGGs, and the ResNets in its detectors; ResNets under the names of Hugging Face's
  transformers, or put into a torch.nn.Sequential,
- Caffe's ResNets and VGGs under torchvision's names,
- the MSRA ResNets under Caffe2's names,
- detectron2's backbones and C4 detectors (.pkl, .pth), without their mask branch,
- public ResNets for CIFAR-10 (6n + 2 layers),
- any of these as .safetensors, in the wrappers and behind the prefixes of training scripts,
- our own checkpoints: a dict with ``"format": "resdet"`` and the state dict under ``"model"``.

The content decides which one it is, not the file's name (weights/origins.py). Code inside a file is never run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import cast, get_args

from resdet.errors import UserError
from resdet.weights.content import open_content
from resdet.weights.conventions import Origin
from resdet.weights.origins import interpret
from resdet.weights.other_files import refuse_graph
from resdet.weights.weights import Weights
from resdet.weights.zoo import find, resolve

_STATED = re.compile(rf"({'|'.join(get_args(Origin))}):(?!//|/\w+_Weights\.)(.+)")  # no name of weights/zoo.py


def read_weights(source: str | Path, origin: Origin | None = None) -> Weights:
    """Read a weights file.

    Args:
        source: a file; the name of weights that are downloaded (weights/zoo.py); either may begin with an origin and a
            colon: "caffe:resnet50_caffe.pth".
        origin: whose preprocessing and stride a net has: "torchvision" (RGB divided by the std, stride on the 3x3) or
            "caffe" (BGR in 0..255, stride on the first 1x1). None: told from the file, where a warning names the
            choice if the numbers speak against the names.

    Returns:
        The tensors under our names, with their preprocessing.

    Raises:
        UserError: no such file or name, no network, a truncated or unknown file, or one that asks to run code.
    """
    stated, name = split_origin(str(source))
    path = resolve(name)
    try:
        with open_content(path) as content:
            return interpret(content, path.name, origin or stated)
    except UserError as error:
        if find(name) is None:
            raise
        raise UserError(f"{path}: {str(error).partition(': ')[2]} (delete this copy of {name})") from None


def find_weights(source: str | Path) -> Path:
    """The file of weights that `read_weights` takes, downloaded if it is a name; nothing is read yet.

    Raises:
        UserError: there is no such file or name, it cannot be downloaded, or it is an exported graph.
    """
    path = resolve(split_origin(str(source))[1])
    refuse_graph(path)
    return path


def split_origin(source: str) -> tuple[Origin | None, str]:
    """ "caffe:resnet50.pth" -> ("caffe", "resnet50.pth"); without a stated origin (None, source)."""
    match = _STATED.fullmatch(source)
    if match is None or os.path.exists(source):
        return None, source
    return cast(Origin, match[1]), match[2]
