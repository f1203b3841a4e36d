"""Our weights under another project's names: torchvision, public ResNets for CIFAR-10, detectron2.

torchvision.models.resnet50().load_state_dict(to_torchvision(net.state_dict()))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from resdet.errors import UserError
from resdet.weights import names
from resdet.weights.weights import (
    AUTHOR,
    TORCHVISION_PREPROCESSING,
    State,
    Weights,
    has_bottlenecks,
    has_global_context,
    projection_blocks,
)
from resdet.weights.zero_padding import to_both_sides


def has_torchvision_preprocessing(weights: Weights) -> bool:
    """Whether mean and std are torchvision's: files under other projects' names need not hold them then."""
    mean, std = TORCHVISION_PREPROCESSING
    return torch.equal(weights.mean, mean) and torch.equal(weights.std, std)


def to_torchvision(state: Mapping[str, Tensor]) -> State:
    """A ResNet's or VGG's tensors under torchvision's names, for `torchvision.models.resnet50().load_state_dict`.

    The exact inverse of reading torchvision's files. The preprocessing is left out because torchvision's nets do not
    hold it: give them the inputs that `state` was trained with. torchvision's bottlenecks have the stride on the 3x3.

    Raises:
        UserError: torchvision has no such net, or `state` holds more than a net.
    """
    scheme = names.TORCHVISION
    if "fc6.weight" in state:
        scheme = names.torchvision_vgg(19 if "conv5.3.weight" in state else 16)
    renamed = _rename(state, scheme.inverse().translate, "torchvision's ResNets and VGGs")
    if "fc6.weight" not in state:
        _check_torchvision_resnet(state)
    return renamed


def _check_torchvision_resnet(state: Mapping[str, Tensor]) -> None:
    """torchvision's ResNets have conv5 and shortcuts of option B."""
    if "conv5.0.a.conv.weight" not in state:
        raise UserError("a net without conv5, which torchvision's ResNets have; CIFAR's nets go --to cifar")
    first = 2 if has_bottlenecks(state) else 3
    wanted = {f"conv{stage}.0" for stage in range(first, 6)}
    if projection_blocks(state) != wanted:
        raise UserError("torchvision's ResNets have shortcuts of option B; this net's are others, or it is plain")


def to_cifar(state: Mapping[str, Tensor]) -> State:
    """A CifarResNet's tensors under the names and in the channel order of public checkpoints for CIFAR-10.

    The exact inverse of reading such a file, without the preprocessing.

    Raises:
        UserError: `state` is not a CifarResNet's.
    """
    scheme, project = names.CIFAR.inverse(), "the public nets for CIFAR-10"
    renamed = _rename(state, scheme.translate, project)
    return renamed if projection_blocks(state) else _rename(to_both_sides(state), scheme.translate, project)


def to_detectron2(weights: Weights) -> dict[str, Any]:
    """A detector as the content of a .pkl of detectron2's model zoo, for `DetectionCheckpointer.load`.

    Tensors are numpy arrays under detectron2's names and conv1 reads BGR. `pixel_mean` and `pixel_std` hold the values
    for the config's MODEL.PIXEL_MEAN and MODEL.PIXEL_STD. `read_weights` reads the file back.

    Raises:
        UserError: not a detector on a ResNet, or one with global context.
    """
    if not weights.is_detector:
        raise UserError(f"{weights.source}: holds a net without RPN and head; only detectors have detectron2 names")
    if has_global_context(weights.state):
        raise UserError(f"{weights.source}: has global context, which detectron2's C4 detectors do not have")
    state = _rename(weights.state, names.to_detectron2, "detectron2's C4 detectors")
    first = "backbone.stem.conv1.weight"
    state[first] = state[first].flip(1)
    pixels = {"pixel_mean": weights.mean.flip(0), "pixel_std": weights.std.flip(0)}
    arrays = {name: t.numpy() for name, t in (state | pixels).items()}
    return {"model": arrays, "__author__": AUTHOR, "stride_on": weights.stride_on}


def _rename(state: Mapping[str, Tensor], rename: Callable[[str], str | None], project: str) -> State:
    """`state` without the preprocessing, under the names that `rename` gives; `project` is for the message."""
    renamed = {name: rename(name) for name in state if not name.startswith("preprocess.")}
    unknown = [name for name, theirs in renamed.items() if theirs is None]
    if unknown:
        raise UserError(f"{unknown[0]}: {project} have no such tensor; pass the state dict of a net, not of a detector")
    return {cast(str, theirs): state[name] for name, theirs in renamed.items()}
