"""How a net of another project is fed and built: mean, std, order of the channels, place of the stride."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from resdet.errors import UserError
from resdet.nets.blocks import StrideOn
from resdet.weights.content import Content
from resdet.weights.find_net import FoundNet
from resdet.weights.pixel_scale import has_no_statistics, is_caffe_vgg, reads_raw_pixels, was_rescaled
from resdet.weights.weights import (
    AUTHOR,
    MSRA_PREPROCESSING,
    TORCHVISION_PREPROCESSING,
    VGG_PREPROCESSING,
    State,
)

Origin = Literal["torchvision", "caffe"]  # whose preprocessing a net has where its names do not tell

# The first normalization layer under the names of the projects whose files have a BN's statistics.
_NORMS = {"torchvision": "bn1", "cifar": "bn1", "detectron2": "stem.conv1.norm"}
_GROUP_NORM = re.compile(r"(^|[._])gn\d*[._]")  # mmdetection's gn1.weight, Detectron's conv1_gn_s

logger = logging.getLogger("resdet")


@dataclass
class Conventions:
    """How a project's nets are fed and built."""

    origin: str
    pixels: tuple[Tensor, Tensor]  # mean and std, RGB
    bgr: bool = False  # whether the net reads BGR
    stride_on: StrideOn | None = None  # of bottlenecks; None: as in other nets with this std


TORCHVISION = Conventions("torchvision", TORCHVISION_PREPROCESSING)
CAFFE = Conventions("caffe", MSRA_PREPROCESSING, bgr=True)  # MSRA's ResNets
CAFFE_VGG = Conventions("caffe", VGG_PREPROCESSING, bgr=True)


def conventions_of(
    found: FoundNet, tensors: State, content: Content, source: str, origin: Origin | None
) -> Conventions:
    """The conventions of a net that was found in a file.

    Args:
        found: the net.
        tensors: its tensors under the project's names; `pixel_mean` and `pixel_std` are removed.
        content: of the file.
        source: the file's name, for messages.
        origin: what the user says; None: told from the content.

    Raises:
        UserError: the preprocessing cannot be told, or is in the file and `origin` is given; or the net's layers are
            not normalized by BN.
    """
    _refuse_other_norms(found, tensors, source)
    known = _recorded(found, tensors, content)
    if origin is not None:
        if known is not None and known.origin != "detectron2":
            raise UserError(f"{source}: its preprocessing is known from the file; leave {origin}: out")
        return TORCHVISION if origin == "torchvision" else CAFFE_VGG if found.layout == "vgg" else CAFFE
    if known is not None:
        return known
    if found.layout == "vgg":
        return _told(CAFFE_VGG, source) if is_caffe_vgg(tensors) else TORCHVISION
    if found.layout == "cifar":
        return Conventions("cifar", TORCHVISION_PREPROCESSING)
    return _of_resnet(tensors, source)


def _refuse_other_norms(found: FoundNet, tensors: State, source: str) -> None:
    """Refuse a ResNet with GroupNorm: its tensors may have the names of a BN's, but there are no statistics."""
    remedy = "resdet's nets have BN and cannot use such weights; take a ResNet with BN"
    if any(_GROUP_NORM.search(name) for name in tensors):
        raise UserError(f"{source}: a ResNet with GroupNorm; {remedy}")
    first = _NORMS.get(found.layout)
    has_norm = first is not None and any(name.endswith(f"{first}.weight") for name in tensors)
    if has_norm and not any(name.endswith("running_var") for name in tensors):
        raise UserError(
            f"{source}: its normalization layers have no running mean and variance, as GroupNorm has none (or only the "
            f"parameters were saved); {remedy}, saved with its statistics"
        )


def _recorded(found: FoundNet, tensors: State, content: Content) -> Conventions | None:
    """The conventions that the file or its project's names tell; None for torchvision's names without a mean."""
    if found.layout == "caffe2":
        return Conventions("caffe2", MSRA_PREPROCESSING, bgr=True)
    if found.layout == "detectron2":
        return _of_detectron2(tensors, content.data if isinstance(content.data, Mapping) else {})
    if isinstance(content.data, Mapping) and "state_dict" in content.data:  # written by export-weights
        mean, std = (content.tensor(content.data.get(name)) for name in ("mean", "std"))
        if mean is not None and std is not None:
            return Conventions("cifar" if found.layout == "cifar" else "torchvision", (mean.float(), std.float()))
    return None


def _of_resnet(tensors: State, source: str) -> Conventions:
    """Torchvision's conventions or Caffe's, by what the first BN's statistics say of the input."""
    conv, variance = tensors["conv1.weight"], tensors.get("bn1.running_var")
    if variance is None or conv.dim() != 4 or len(variance) != len(conv):
        return TORCHVISION
    if reads_raw_pixels(conv, variance):
        return _told(CAFFE, source)
    if was_rescaled(variance):  # Caffe's, changed to read torchvision's input
        return _told(Conventions("caffe", TORCHVISION_PREPROCESSING, stride_on="1x1"), source)
    mean, scale = tensors.get("bn1.running_mean"), tensors.get("bn1.weight")
    if mean is not None and scale is not None and has_no_statistics(mean, variance, scale):
        raise UserError(
            f"{source}: its batch normalizations have no statistics, which would tell its preprocessing; write "
            f"caffe:{source} (BGR in 0..255, minus the mean) or torchvision:{source} (RGB, divided by the std)"
        )
    return TORCHVISION


def _told(conventions: Conventions, source: str) -> Conventions:
    channels = "BGR in 0..255, minus the mean" if conventions.bgr else "RGB, divided by the std"
    stride = "" if conventions is CAFFE_VGG else ", stride on the first 1x1"
    logger.warning(
        "%s: by its numbers a net of Caffe's under torchvision's names, used as such (%s%s); if it is torchvision's, "
        "write torchvision:%s",
        source, channels, stride, source,
    )  # fmt: skip
    return conventions


def _of_detectron2(tensors: State, data: Mapping[str, Any]) -> Conventions:
    """detectron2's files are BGR with MSRA's mean, except two kinds.

    Files that detectron2's converters made from torchvision's ResNets, or from others trained like them (MoCo), say so
    by "__author__" or by "matching_heuristics": RGB, torchvision's mean and std. Old detectors hold `pixel_mean` and
    `pixel_std` in the channel order of their input: ImageNet's mean is largest for red, so the place of the largest
    value tells RGB from BGR. (Files that we wrote are BGR and hold `stride_on`.) Nets trained with a std have the
    stride on the 3x3: detectron2's configs pair the two so.
    """
    author = data.get("__author__")
    converted = author == "torchvision" or (author is not None and data.get("matching_heuristics") is True)
    pixels, bgr = (TORCHVISION_PREPROCESSING, False) if converted else (MSRA_PREPROCESSING, True)
    if {"pixel_mean", "pixel_std"} <= tensors.keys():
        mean, std = (tensors.pop(name).flatten().float() for name in ("pixel_mean", "pixel_std"))
        bgr = author == AUTHOR or bool(mean[0] <= mean[-1])
        pixels = (mean.flip(0), std.flip(0)) if bgr else (mean, std)
    return Conventions("detectron2", pixels, bgr, data["stride_on"] if author == AUTHOR else None)
