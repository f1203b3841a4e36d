"""Run export-weights: write weights under another project's names."""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from resdet.errors import UserError
from resdet.weights.export import has_torchvision_preprocessing, to_cifar, to_detectron2, to_torchvision
from resdet.weights.read import read_weights
from resdet.weights.safetensors_file import write_safetensors
from resdet.weights.weights import State, Weights
from resdet.whole_files import whole_file

FORMS: dict[str, Callable[[State], State]] = {"torchvision": to_torchvision, "cifar": to_cifar}
DETECTRON2 = "detectron2"


def run(args: argparse.Namespace) -> None:
    """Write the file, and print the preprocessing that the weights expect."""
    weights = read_weights(args.weights)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.to == DETECTRON2:
        _write_detectron2(args.out, weights)
        return
    state: State = FORMS[args.to](weights.state)
    usual = has_torchvision_preprocessing(weights)
    _write(args.out, state, {} if usual else {"mean": weights.mean, "std": weights.std})
    print(f"{args.out}: {len(state)} tensors under {args.to}'s names")
    if args.to == "torchvision" and weights.stride_on == "1x1":
        print("the stride is on the first 1x1, torchvision's on the 3x3: in its net, before use, set")
        print("  for s in (net.layer2, net.layer3, net.layer4): s[0].conv1.stride, s[0].conv2.stride = (2, 2), (1, 1)")
    print(f"input: RGB in 0..255, minus {_words(weights.mean)}, divided by {_words(weights.std)}")


def _write_detectron2(path: Path, weights: Weights) -> None:
    """A pickle of arrays, as in the model zoo, and what detectron2's config has to say."""
    if path.suffix != ".pkl":
        raise UserError(f"{path}: detectron2 takes the channels' order from a .pkl; give --out a name that ends so")
    content = to_detectron2(weights)
    with whole_file(path) as partial, partial.open("wb") as file:
        pickle.dump(content, file)
    means, deviations = (content["model"][f"pixel_{name}"].tolist() for name in ("mean", "std"))
    print(f"{path}: {len(content['model']) - 2} tensors under detectron2's names")
    print(f"its config: MODEL.PIXEL_MEAN {means}, MODEL.PIXEL_STD {deviations}, INPUT.FORMAT BGR,")
    stride = weights.stride_on == "1x1"
    print(f"MODEL.RESNETS.STRIDE_IN_1X1 {stride}; anchors, regions and NMS as in the config that trained it")


def _write(path: Path, state: State, pixels: State) -> None:
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    if path.suffix != ".safetensors":
        with whole_file(path) as partial, partial.open("wb") as file:
            torch.save({"state_dict": state, **pixels} if pixels else state, file)
        return
    write_safetensors(path, state, {name: json.dumps(value.tolist()) for name, value in pixels.items()})


def _words(values: Tensor) -> str:
    return "a mean image" if values.dim() > 1 else ", ".join(f"{v:g}" for v in values.tolist())
