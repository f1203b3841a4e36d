"""Copy weights into a net or a detector, check that they fit, and report which tensors matched.

report = load_weights(detector, weights, allow_missing=("rpn", "head"))
print(report)     # R-50.pkl (caffe2): 265 of 265 tensors of conv1..conv5 matched; new: rpn.*, head.*; unused: fc.*
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from resdet.errors import UserError
from resdet.weights.weights import State, Weights, describe_blocks, has_bottlenecks, in_conv_stages, is_weight


@dataclass
class LoadReport:
    """Which tensors were loaded. Layers in `missing` and `mismatched` keep their initial values."""

    matched: list[str]
    missing: list[str]  # in the net, not in the file
    unexpected: list[str]  # in the file, not in the net
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]]  # name, shape in the file, shape in the net
    origin: str  # "R-50.pkl (caffe2)"

    def __str__(self) -> str:
        new = [*self.missing, *(name for name, _, _ in self.mismatched)]
        loaded = _parts(self.matched)
        total = sum(_part(name) in loaded for name in [*self.matched, *new])
        text = f"{self.origin}: {len(self.matched)} of {total} tensors of {_join(loaded)} matched"
        if new:
            text += f"; new: {', '.join(dict.fromkeys(self._layer_or_part(name) for name in new))}"
        if self.unexpected:
            text += f"; unused: {_some([f'{part}.*' for part in _parts(self.unexpected)])}"
        return text

    def _layer_or_part(self, name: str) -> str:
        """ "rpn.*" if all of the RPN is new, "rpn.objectness" if only this layer is."""
        matched = {_part(other) for other in self.matched}
        return name.removeprefix("net.").rpartition(".")[0] if _part(name) in matched else f"{_part(name)}.*"


def load_weights(module: nn.Module, weights: Weights, *, allow_missing: tuple[str, ...] = ()) -> LoadReport:
    """Copy `weights` into `module` and set its preprocessing to theirs. If they do not fit, nothing is changed.

    Args:
        module: a net or a detector. A net's weights go into a detector's ``net.`` (its fc stays unused), a detector's
            ``net.`` into a net.
        weights: of any origin.
        allow_missing: prefixes of the layers that may keep their initial values where the file lacks them or has them
            in another shape: ("rpn", "head") for a detector on an ImageNet net, ("head",) or ("fc",) for other
            classes. conv1..conv5 have to fit in every case.

    Returns:
        Which tensors were loaded and which were not.

    Raises:
        UserError: the weights do not fit the module, or their bottlenecks have the stride in another place.
    """
    net = {name: t for name, t in module.state_dict().items() if is_weight(name) and "preprocess." not in name}
    given = _align(weights, into_detector=any(name.startswith("net.") for name in net))
    shared = [name for name in net if name in given]
    report = LoadReport(
        matched=[name for name in shared if net[name].shape == given[name].shape],
        missing=[name for name in net if name not in given],
        unexpected=[*(name for name in given if name not in net), *weights.leftover],
        mismatched=[
            (name, tuple(given[name].shape), tuple(net[name].shape))
            for name in shared
            if net[name].shape != given[name].shape
        ],
        origin=f"{weights.source} ({weights.origin})",
    )
    _check_conv_stages(report, weights)
    _check_new_layers(report, weights, allow_missing)
    _check_stride(module, weights)
    with torch.no_grad():
        for name in report.matched:
            net[name].copy_(given[name])
        _set_preprocessing(module, weights)
    return report


def _align(weights: Weights, *, into_detector: bool) -> State:
    """The tensors with the prefix ``net.`` that a detector has, or without it for a net."""
    if into_detector and not weights.is_detector:
        return {f"net.{name}": tensor for name, tensor in weights.state.items()}
    if weights.is_detector and not into_detector:
        return {name.removeprefix("net."): tensor for name, tensor in weights.state.items()}
    return weights.state


def _check_conv_stages(report: LoadReport, weights: Weights) -> None:
    """conv1..conv5 must match exactly. Surplus blocks are an error too: ResNet-101's would fill every ResNet-50."""
    stages = {_part(name) for name in [*report.matched, *report.missing]}
    problems = [
        f"{name} is {list(file)} in the file and {list(net)} in the net"
        for name, file, net in report.mismatched
        if in_conv_stages(name)
    ]
    problems += [f"{name} is not in the file" for name in report.missing if in_conv_stages(name)]
    problems += [
        f"{name} is not in the net" for name in report.unexpected if in_conv_stages(name) and _part(name) in stages
    ]
    if not problems:
        return
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise UserError(
        f"{weights.source}: does not fit this net, {problems[0]}{more}; "
        f"the file is a ResNet of {describe_blocks(weights.state)}: build that net or take another file"
    )


def _check_new_layers(report: LoadReport, weights: Weights, allow_missing: tuple[str, ...]) -> None:
    """Layers outside conv1..conv5 may stay new only if `allow_missing` names them."""
    allowed = [entry.removesuffix(".*").removesuffix(".") for entry in allow_missing]

    def refused(name: str) -> bool:
        return not in_conv_stages(name) and not any(name == a or name.startswith(f"{a}.") for a in allowed)

    problems = [(n, f"is {list(a)} in the file and {list(b)} in the net") for n, a, b in report.mismatched]
    problems += [(name, "is not in the file") for name in report.missing]
    problems = [(name, why) for name, why in problems if refused(name)]
    if problems:
        parts = _parts(name for name, _ in problems)
        raise UserError(
            f"{weights.source}: {problems[0][0]} {problems[0][1]}; "
            f"pass allow_missing={tuple(parts)} to train {_join(parts)} anew, or take a file that fits"
        )


def _check_stride(module: nn.Module, weights: Weights) -> None:
    net = getattr(module, "net", module)
    stride_on = getattr(net, "stride_on", None)
    if None in (stride_on, weights.stride_on) or stride_on == weights.stride_on:
        return
    if has_bottlenecks(weights.state):
        raise UserError(
            f"{weights.source}: its bottlenecks have the stride on the {weights.stride_on}, this net on the "
            f"{stride_on}; build the net with stride_on='{weights.stride_on}'"
        )


def _set_preprocessing(module: nn.Module, weights: Weights) -> None:
    values = {"preprocess.mean": weights.mean, "preprocess.std": weights.std}
    for name, buffer in module.named_buffers():
        value = values.get(name.removeprefix("net."))
        if value is not None:
            # A mean of three channels also fits a net with a mean image: [3] -> [3, 32, 32].
            buffer.copy_(value.view(*value.shape, *[1] * (buffer.dim() - value.dim())))


def _part(name: str) -> str:
    """The part of the net that a tensor belongs to: conv1 ... conv5, fc, rpn, head; or the file's own word."""
    return name.removeprefix("net.").partition(".")[0]


def _parts(tensors: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(_part(name) for name in tensors))


def _join(parts: list[str]) -> str:
    """["conv1", "conv2", "conv3", "rpn"] -> "conv1..conv3, rpn"."""
    stages = [part for part in parts if re.fullmatch(r"conv\d", part)]
    others = [part for part in parts if part not in stages]
    return ", ".join([f"{stages[0]}..{stages[-1]}", *others] if len(stages) > 1 else parts) or "nothing"


def _some(words: list[str], most: int = 5) -> str:
    """The first `most` words and the number of the others."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
