"""`Weights`: tensors under our names with the preprocessing they were trained with, and what their names tell.

Read by weights/read.py, copied into a model by weights/load.py, written for other projects by weights/export.py.

A net fed with another net's preprocessing loses tens of mAP points without an error. Therefore mean, std, channel order
and the place of the stride travel with the weights. Everything inside resdet is RGB on the scale 0..255: where the
origin reads BGR, the input channels of conv1 are flipped once, when the file is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from resdet.nets.blocks import StrideOn
from resdet.nets.preprocess import IMAGENET_MEAN, IMAGENET_STD
from resdet.nets.resnet import BLOCKS

State = dict[str, Tensor]

# (mean, std). The MSRA nets are not divided by a std; the mean is detectron2's PIXEL_MEAN, reversed from BGR to RGB.
MSRA_PREPROCESSING = (torch.tensor(IMAGENET_MEAN), torch.ones(3))
TORCHVISION_PREPROCESSING = (torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD))

# Simonyan and Zisserman's mean; their nets have no std either. Caffe's release reads it as BGR.
VGG_PREPROCESSING = (torch.tensor((123.68, 116.779, 103.939)), torch.ones(3))

# "__author__" of the detectron2 files that we write: their input is BGR whatever the means are.
AUTHOR = "resdet"

_CONV_STAGE = re.compile(r"(net\.)?conv[1-5]\.")


@dataclass
class Weights:
    """The tensors of one net or detector under our names, and the settings that a net needs to use them.

    The names are a ResNet's (``conv1.conv.weight`` ... ``fc.bias``) or a VGG's. In a detector these begin with
    ``net.``, followed by the tensors of ``rpn.`` and ``head.``. `state` holds parameters and BN statistics only: the
    preprocessing is in `mean` and `std`.
    """

    state: State
    mean: Tensor  # float32 [3], or [3, H, W] for a mean image; RGB, 0..255
    std: Tensor  # float32, shape of the mean
    stride_on: StrideOn | None  # which convolution of a bottleneck has the stride; None: no bottlenecks, or unknown
    origin: str  # "torchvision", "caffe" (under torchvision's names), "detectron2", "caffe2", "cifar" or "resdet"
    is_detector: bool
    source: str = "weights"  # the file's name, for messages
    leftover: list[str] = field(default_factory=list)  # names in the file that our nets have no tensor for
    classes: tuple[str, ...] = ()  # class names in the order of the outputs; empty if the file does not hold them


def is_weight(name: str) -> bool:
    """False for what files hold beside the weights: optimizer state, batch counters, anchors, thop's counts."""
    beside = ("num_batches_tracked", "_momentum", "total_ops", "total_params")
    return not name.endswith(beside) and "anchor_generator." not in name


def in_conv_stages(name: str) -> bool:
    """Whether a tensor, by our names, is part of conv1..conv5, of a net or inside a detector."""
    return _CONV_STAGE.match(name) is not None


def has_bottlenecks(state: Iterable[str]) -> bool:
    """Whether the tensors named in `state` are a ResNet's with three convolutions a block (50, 101, 152)."""
    return any(name.endswith(".c.conv.weight") for name in state)


def projection_blocks(state: Iterable[str]) -> set[str]:
    """The blocks whose shortcut is a convolution, such as "conv3.0"."""
    return {name.removesuffix(".shortcut.conv.weight") for name in state if name.endswith(".shortcut.conv.weight")}


def has_global_context(state: Mapping[str, Tensor]) -> bool:
    """Whether a detector uses global context (App. B): its classifier reads two vectors of conv5 (of VGG: fc7)."""
    outputs = [t for name, t in state.items() if name.startswith(("net.conv5.", "net.fc7.")) and t.dim() > 1]
    return state["head.scores.weight"].shape[1] == 2 * outputs[-1].shape[0]


def resnet_depth(state: Iterable[str]) -> int | None:
    """The depth of the ResNet in Table 1 with tensors of these names; None if there is no such ResNet."""
    state = list(state)
    wanted = (_count_blocks(state), has_bottlenecks(state))
    return next((depth for depth, blocks in BLOCKS.items() if (blocks, depth >= 50) == wanted), None)


def describe_blocks(state: Iterable[str]) -> str:
    """The blocks of conv2..conv5 for messages: "3-4-6-3 bottlenecks"."""
    state = list(state)
    kind = "bottlenecks" if has_bottlenecks(state) else "basic blocks"
    return f"{'-'.join(map(str, _count_blocks(state)))} {kind}"


def _count_blocks(state: Iterable[str]) -> tuple[int, ...]:
    """Number of blocks in conv2, conv3, conv4 and conv5."""
    found = {match.groups() for name in state if (match := re.match(r"(?:net\.)?conv([2-5])\.(\d+)\.", name))}
    return tuple(sum(stage == s for stage, _ in found) for s in "2345")
