"""Which project a file's content comes from, and its tensors under our names with the preprocessing of that project.

    weights = interpret(torch.load("resnet50.pth"), source="resnet50.pth")

Here every project's conventions become ours: names, channel order of the input (RGB), batch normalization with
statistics, convolutions without bias before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from resdet.errors import UserError
from resdet.nets.blocks import StrideOn
from resdet.weights import names
from resdet.weights.weights import (
    AUTHOR,
    MSRA_PREPROCESSING,
    TORCHVISION_PREPROCESSING,
    State,
    Weights,
    has_bottlenecks,
    in_conv_stages,
    is_weight,
    projection_blocks,
)
from resdet.weights.zero_padding import to_one_side

_BN_EPS = 1e-5  # the epsilon of every batch normalization, ours and all origins'


def interpret(data: Any, source: str) -> Weights:
    """The weights in the content `data` of a file, recognized by the names of its tensors.

    Args:
        data: a state dict of tensors or numpy arrays, bare or under "model", "state_dict" or "blobs".
        source: the file's name, for messages.

    Raises:
        UserError: none of the nets that resdet knows, or one that cannot be used.
    """
    if isinstance(data, Mapping) and data.get("format") == "resdet":
        return _from_resdet(data, source)
    tensors = _tensors(data)
    if "conv1_w" in tensors:
        return _convert(tensors, names.from_caffe2, source, origin="caffe2", bgr=True, pixels=MSRA_PREPROCESSING)
    if not tensors.keys().isdisjoint({"stem.conv1.weight", "backbone.stem.conv1.weight"}):
        return _from_detectron2(tensors, source, data)
    pixels = _exported_preprocessing(data) or TORCHVISION_PREPROCESSING
    if {"conv1.weight", "layer1.0.conv1.weight", "linear.weight"} <= tensors.keys():
        weights = _convert(tensors, names.CIFAR.translate, source, origin="cifar", bgr=False, pixels=pixels)
        return weights if projection_blocks(weights.state) else replace(weights, state=to_one_side(weights.state))
    if {"features.0.weight", "features.2.weight", "classifier.6.weight"} <= tensors.keys():
        if not tensors["classifier.6.weight"].isfinite().all():
            raise UserError(
                f"{source}: has no values for fc, and its convolutions want another preprocessing; take IMAGENET1K_V1"
            )
        rename = names.torchvision_vgg(19 if "features.34.weight" in tensors else 16).translate
        return _convert(tensors, rename, source, origin="torchvision", bgr=False, pixels=pixels)
    if {"conv1.weight", "layer1.0.conv1.weight"} <= tensors.keys():
        return _convert(tensors, names.TORCHVISION.translate, source, origin="torchvision", bgr=False, pixels=pixels)
    seen = f"its first tensor is {next(iter(tensors))}" if tensors else "it holds no named tensors"
    raise UserError(
        f"{source}: not a net that resdet knows ({seen}); give a torchvision ResNet or VGG, an MSRA ResNet (R-50.pkl), "
        "a detectron2 backbone or C4 detector, a ResNet for CIFAR-10, or a resdet checkpoint"
    )


def _tensors(data: Any) -> State:
    """The named tensors of a file as float32, out of the usual wrappers, without momentum and step counters."""
    if not isinstance(data, Mapping):
        return {}
    for wrapper in ("model", "state_dict", "blobs"):
        if isinstance(data.get(wrapper), Mapping):
            data = data[wrapper]
            break
    found = {}
    for name, value in data.items():
        if not isinstance(name, str) or not is_weight(name) or not isinstance(value, Tensor | np.ndarray):
            continue
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value.detach()
        found[name.removeprefix("module.")] = tensor.float()  # "module." is DistributedDataParallel's
    return found


def _exported_preprocessing(data: Any) -> tuple[Tensor, Tensor] | None:
    """(mean, std) of a file that tools/export_weights.py wrote; None for files of the other projects themselves."""
    found = [data.get(name) for name in ("mean", "std")] if isinstance(data, Mapping) and "state_dict" in data else []
    mean, std = found or (None, None)
    return (mean, std) if isinstance(mean, Tensor) and isinstance(std, Tensor) else None


def _from_resdet(data: Mapping[str, Any], source: str) -> Weights:
    """Our checkpoints hold the preprocessing as buffers of the net, and `stride_on` if the net has bottlenecks."""
    state = _tensors(data)
    pixels: dict[str, Tensor] = {}
    for name in [name for name in state if name.removeprefix("net.").startswith("preprocess.")]:
        pixels[name.rpartition(".")[2]] = state.pop(name)
    if not state or not {"mean", "std"} <= pixels.keys():
        raise UserError(f"{source}: a resdet checkpoint without a model or its preprocessing; save the run again")
    is_detector = any(name.startswith(("rpn.", "head.")) for name in state)
    return Weights(
        state if is_detector else {name.removeprefix("net."): t for name, t in state.items()},  # a classifier's net
        mean=pixels["mean"],
        std=pixels["std"],
        stride_on=data["stride_on"] if data.get("stride_on") in get_args(StrideOn) else None,
        origin="resdet",
        is_detector=is_detector,
        source=source,
        classes=tuple(data.get("classes", ())),
    )


def _from_detectron2(tensors: State, source: str, data: Mapping[str, Any]) -> Weights:
    """detectron2's files are BGR with MSRA's mean, except two kinds.

    Files that detectron2's converter made from torchvision's ResNets say so in "__author__": RGB, torchvision's mean
    and std. Old detectors hold `pixel_mean` and `pixel_std` in the channel order of their input: ImageNet's mean is
    largest for red, so the place of the largest value tells RGB from BGR. (Files that we wrote are BGR and hold
    `stride_on`.) Nets trained with a std have the stride on the 3x3: detectron2's configs pair the two so.
    """
    author = data.get("__author__")
    pixels, bgr = (TORCHVISION_PREPROCESSING, False) if author == "torchvision" else (MSRA_PREPROCESSING, True)
    if {"pixel_mean", "pixel_std"} <= tensors.keys():
        mean, std = tensors.pop("pixel_mean").flatten(), tensors.pop("pixel_std").flatten()
        bgr = author == AUTHOR or bool(mean[0] <= mean[-1])
        pixels = (mean.flip(0), std.flip(0)) if bgr else (mean, std)
    weights = _convert(tensors, names.from_detectron2, source, origin="detectron2", bgr=bgr, pixels=pixels)
    return replace(weights, stride_on=data["stride_on"]) if author == AUTHOR else weights


def _convert(
    tensors: State,
    rename: Callable[[str], str | None],
    source: str,
    *,
    origin: str,
    bgr: bool,
    pixels: tuple[Tensor, Tensor],
) -> Weights:
    """Another project's tensors under our names and conventions.

    Args:
        tensors: under the project's names.
        rename: our name for the project's name; None where our nets have no such tensor.
        source: the file's name.
        origin: the project.
        bgr: whether the net reads BGR: conv1's input channels are flipped then.
        pixels: mean and std, RGB.
    """
    state: State = {}
    leftover = []
    for name, tensor in tensors.items():
        ours = rename(name)
        if ours is None:
            leftover.append(name)
        elif ours in state:
            raise UserError(f"{source}: holds {ours} twice, the second as {name}; save one net per file")
        else:
            state[ours] = tensor
    if origin == "caffe2":
        _complete_affine(state)
    _absorb_biases(state)
    if bgr:
        state["conv1.conv.weight"] = state["conv1.conv.weight"].flip(1)
    mean, std = pixels
    is_detector = any(name.startswith(("rpn.", "head.")) for name in state)
    if is_detector:
        state = {f"net.{name}" if in_conv_stages(name) else name: t for name, t in state.items()}
    return Weights(
        state=state,
        mean=mean.clone(),
        std=std.clone(),
        stride_on=_stride_on(state, std),
        origin=origin,
        is_detector=is_detector,
        source=source,
        leftover=leftover,
    )


def _complete_affine(state: State) -> None:
    """Give the affine layers of Detectron's files (`_bn_s`, `_bn_b`) the statistics of a batch normalization, in place.

    Mean 0 and variance 1 - eps: sqrt(variance + eps) is 1, so that folding gives exactly s and b.
    """
    for name in [name for name in state if name.endswith(".bn.weight")]:
        layer = name.removesuffix("weight")
        state.setdefault(f"{layer}running_mean", torch.zeros_like(state[name]))
        state.setdefault(f"{layer}running_var", torch.full_like(state[name], 1 - _BN_EPS))


def _absorb_biases(state: State) -> None:
    """Subtract each convolution's bias from its BN's mean, in place: conv(x) + b - mean = conv(x) - (mean - b).

    The first convolution of MSRA's ResNet-50 has a bias; Detectron's converter writes zero biases for all others.
    """
    for name in [name for name in state if name.endswith(".conv.bias") and in_conv_stages(name)]:
        mean = name.replace(".conv.bias", ".bn.running_mean")
        bias = state.pop(name)
        if mean in state:
            state[mean] = state[mean] - bias


def _stride_on(state: State, std: Tensor) -> StrideOn | None:
    """MSRA's nets (std 1) have the stride on the first 1x1, torchvision's on the 3x3; None without bottlenecks."""
    if not has_bottlenecks(state):
        return None
    return "1x1" if bool((std == 1).all()) else "3x3"
