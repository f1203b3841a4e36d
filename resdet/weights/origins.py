"""Which project a file's content comes from, and its tensors under our names with the preprocessing of that project.

    weights = interpret(content, source="resnet50.pth")       # content: weights/content.py

Here every project's conventions become ours: names, channel order of the input (RGB), batch normalization with
statistics, convolutions without bias before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor

from resdet.errors import UserError
from resdet.nets.blocks import StrideOn
from resdet.weights import names
from resdet.weights.content import Content, asks_to_run
from resdet.weights.conventions import Conventions, Origin, conventions_of
from resdet.weights.find_net import FoundNet, find_net, is_tensor, keys_seen
from resdet.weights.values import BN_EPS, check_pixels, check_values
from resdet.weights.weights import State, Weights, has_bottlenecks, in_conv_stages, projection_blocks
from resdet.weights.zero_padding import to_one_side

logger = logging.getLogger("resdet")

_MOST_NAMED = 6  # nets in a message


def interpret(content: Content, source: str, origin: Origin | None = None) -> Weights:
    """The weights in a file, recognized by the names of its tensors.

    Args:
        content: of the file: a state dict of tensors or numpy arrays, in whatever wrappers.
        source: the file's name, for messages.
        origin: whose preprocessing and stride the net has; None: told from the content.

    Raises:
        UserError: none of the nets that resdet knows, or one that cannot be used.
    """
    data = content.data
    if isinstance(data, Mapping) and data.get("format") == "resdet":
        if origin is not None:
            raise UserError(f"{source}: its preprocessing is known from the file; leave {origin}: out")
        return _from_resdet(data, content, source)
    found = find_net(data)
    if found is None:
        raise UserError(
            f"{source}: not a net that resdet knows ({keys_seen(data)}); give a torchvision ResNet or VGG, an MSRA "
            "ResNet (R-50.pkl), a detectron2 backbone or C4 detector, a ResNet for CIFAR-10, or a resdet checkpoint"
        )
    tensors, objects = content.tensors(found.values, source, found.prefix)
    if found.layout in ("children", "transformers"):  # torchvision's nets under other names
        to_torchvision = names.from_children if found.layout == "children" else names.from_transformers
        tensors = {to_torchvision(name): tensor for name, tensor in tensors.items()}
        found = replace(found, layout="torchvision")
    rename = _renaming(found, tensors, source)
    _refuse_objects({name: kind for name, kind in objects.items() if rename(name)}, source)
    check_values({name: tensor for name, tensor in tensors.items() if rename(name)}, source)
    weights = _convert(tensors, rename, source, conventions_of(found, tensors, content, source, origin))
    weights.leftover += [
        name
        for name, value in found.values.items()
        if isinstance(name, str) and not name.startswith(found.prefix) and is_tensor(value)
    ]
    _tell(found, weights)
    if found.layout == "cifar" and not projection_blocks(weights.state):
        return replace(weights, state=to_one_side(weights.state))
    return weights


def _renaming(found: FoundNet, tensors: State, source: str) -> Callable[[str], str | None]:
    """The function from the project's names to ours."""
    if found.layout == "vgg":
        if not tensors["classifier.6.weight"].isfinite().all():
            raise UserError(
                f"{source}: has no values for fc, and its convolutions want another preprocessing; take IMAGENET1K_V1"
            )
        return names.torchvision_vgg(19 if "features.34.weight" in tensors else 16).translate
    return {
        "caffe2": names.from_caffe2,
        "detectron2": names.from_detectron2,
        "cifar": names.CIFAR.translate,
        "torchvision": names.TORCHVISION.translate,
    }[found.layout]


def _tell(found: FoundNet, weights: Weights) -> None:
    """Say which part of a file is used where there is more than one net."""
    if found.others:
        logger.warning(
            "%s holds several nets (%s): %s is used; to use another, save it as a file of its own",
            weights.source, ", ".join([found.name, *found.others][:_MOST_NAMED]), found.name,
        )  # fmt: skip
    elif found.prefix.endswith(("backbone.body.", "backbone.bottom_up.")):
        logger.warning(
            "%s is a detector with FPN, which resdet does not have; its ResNet (%s*) is used, the other layers are not",
            weights.source, found.prefix,
        )  # fmt: skip


def _refuse_objects(objects: Mapping[str, str], source: str) -> None:
    """Refuse objects in the place of tensors that the net needs."""
    if objects:
        raise UserError(f"{source}: {asks_to_run(next(iter(objects.values())))}")


def _from_resdet(data: Mapping[str, Any], content: Content, source: str) -> Weights:
    """Our checkpoints hold the preprocessing as buffers of the net, and `stride_on` if the net has bottlenecks."""
    model = data.get("model")
    state, objects = content.tensors(model, source) if isinstance(model, Mapping) else ({}, {})
    _refuse_objects(objects, source)
    pixels: dict[str, Tensor] = {}
    for name in [name for name in state if name.removeprefix("net.").startswith("preprocess.")]:
        pixels[name.rpartition(".")[2]] = state.pop(name)
    if not state or not {"mean", "std"} <= pixels.keys():
        raise UserError(f"{source}: a resdet checkpoint without a model or its preprocessing; save the run again")
    check_values(state, source)
    check_pixels(pixels["mean"], pixels["std"], source)
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


def _convert(tensors: State, rename: Callable[[str], str | None], source: str, conventions: Conventions) -> Weights:
    """Another project's tensors under our names and conventions.

    Args:
        tensors: under the project's names.
        rename: our name for the project's name; None where our nets have no such tensor.
        source: the file's name.
        conventions: the project's.
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
    inside = [name for name in leftover if names.in_stage(name)]
    if inside:
        raise UserError(
            f"{source}: the paper's ResNets have no {inside[0]} ({len(inside)} such tensors): another net, as with "
            "squeeze-and-excitation, attention or deformable convolutions; take a plain ResNet"
        )
    if conventions.origin == "caffe2":
        _complete_affine(state)
    _absorb_biases(state)
    if conventions.bgr:
        first = "conv1.conv.weight" if "conv1.conv.weight" in state else "conv1.0.weight"  # a ResNet's or a VGG's
        state[first] = state[first].flip(1)
    mean, std = conventions.pixels
    check_pixels(mean, std, source)
    is_detector = any(name.startswith(("rpn.", "head.")) for name in state)
    if is_detector:
        state = {f"net.{name}" if in_conv_stages(name) else name: t for name, t in state.items()}
    return Weights(
        state=state,
        mean=mean.clone(),
        std=std.clone(),
        stride_on=conventions.stride_on or _stride_on(state, std),
        origin=conventions.origin,
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
        state.setdefault(f"{layer}running_var", torch.full_like(state[name], 1 - BN_EPS))


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
