"""Weights from files of other projects and our own, each with the preprocessing that it was trained with.

    weights = read_weights("R-50.pkl")                      # or "ResNet50_Weights.IMAGENET1K_V1" (downloads)
    print(load_weights(detector, weights, allow_missing=("rpn", "head")))
    # R-50.pkl (caffe2): 265 of 265 tensors of conv1..conv5 matched; new: rpn.*, head.*; unused: fc.*

Read are: torchvision's ResNets and VGGs; the MSRA ResNets under Caffe2's names; detectron2's backbones and C4 detectors
(.pkl, .pth); public nets of 6n + 2 layers for CIFAR-10; .safetensors of any of them; our own checkpoints (a dict with
``"format": "resdet"`` and the state dict as ``"model"``). The contents decide, not the file's name, and nothing that a
file asks for is run.

A net fed with another net's preprocessing loses tens of mAP points without a word, so mean, std, the channel order
and the place of the stride travel with the weights. Everything inside is RGB on the scale 0..255: where the origin
read BGR, the input channels of conv1 are flipped here, once.
"""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from resdet.errors import UserError
from resdet.nets.blocks import StrideOn
from resdet.nets.preprocess import IMAGENET_MEAN, IMAGENET_STD
from resdet.nets.resnet import BLOCKS
from resdet.weights import names
from resdet.weights.unpickle import read_arrays
from resdet.weights.zero_padding import to_both_sides, to_one_side

State = dict[str, Tensor]

# Mean and std. The MSRA nets divide by nothing; their mean is given as detectron2's PIXEL_MEAN, reversed from BGR.
_MSRA = (torch.tensor(IMAGENET_MEAN), torch.ones(3))
_TORCHVISION = (torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD))

# The epsilon of every batch normalisation here and at all origins.
_BN_EPS = 1e-5

# In the files that `to_detectron2` writes: their input is BGR whatever the means are.
AUTHOR = "resdet"

_ENUM_NAME = re.compile(r"\w+_Weights\.\w+")
_ZIP, _OLD_TORCH = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the two file forms of torch.save
_TRUNK = re.compile(r"(net\.)?conv[1-5]\.")


@dataclass
class Weights:
    """Tensors under our names, with what the net around them must do.

    The names are a ResNet's (``conv1.conv.weight`` ... ``fc.bias``) or, in a detector, ``net.`` and these, ``rpn.``
    and ``head.``. Parameters and statistics only: the preprocessing is in `mean` and `std`.
    """

    state: State
    mean: Tensor  # float32 [3] or, a mean image, [3, H, W]; RGB, 0..255
    std: Tensor  # as the mean
    stride_on: StrideOn | None  # which convolution of a bottleneck has the stride; None: no bottlenecks, or unknown
    origin: str  # "torchvision", "detectron2", "caffe2", "cifar" or "resdet"
    is_detector: bool
    source: str = "weights"  # the file's name, for messages
    leftover: list[str] = field(default_factory=list)  # the file's names that have no place in our nets
    classes: tuple[str, ...] = ()  # in the order of the outputs, where the file tells: ours do


@dataclass
class LoadReport:
    """What went where. `missing` and `mismatched` layers keep the values that they were initialised with."""

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
        """rpn.* where all of the RPN is new, rpn.objectness where only this layer is."""
        matched = {_part(other) for other in self.matched}
        return name.removeprefix("net.").rpartition(".")[0] if _part(name) in matched else f"{_part(name)}.*"


# Reading -------------------------------------------------------------------------------------------------------------


def read_weights(source: str | Path) -> Weights:
    """Read a weights file, or download torchvision's by name ("ResNet50_Weights.IMAGENET1K_V1").

    Raises:
        UserError: no such file or name, no network, a truncated or unknown file, or one that asks to run code.
    """
    if _ENUM_NAME.fullmatch(str(source)) and not Path(source).exists():
        return _interpret(_download(str(source)), str(source))
    path = Path(source)
    return _interpret(_read_file(path), path.name)


def _download(name: str) -> State:
    if not re.match(r"(ResNet\d+|VGG1[69])_", name):
        raise UserError(f"{name}: resdet has no such net; give a name like ResNet50_Weights.DEFAULT")
    import torchvision  # takes a second, and only this needs it

    try:
        known = torchvision.models.get_weight(name)
    except (KeyError, ValueError, AttributeError):
        raise UserError(f"{name}: torchvision has no such weights; see torchvision.models.list_models()") from None
    try:
        return known.get_state_dict(check_hash=True, map_location="cpu", weights_only=True)
    except OSError as error:  # urllib's URLError is one
        reason = " ".join(str(error).split())
        raise UserError(f"{name}: download failed ({reason}); get the .pth file elsewhere and give its path") from None
    except Exception as error:  # a damaged file can fail in any way
        stored = Path(torch.hub.get_dir(), "checkpoints", known.url.rpartition("/")[2])
        raise UserError(f"{stored}: {_explain(error)} (delete this copy of {name})") from None


def _read_file(path: Path) -> Any:
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name the weights file inside it")
    if not path.is_file():
        raise UserError(f"{path}: no such weights file; check the path, or give a name like ResNet50_Weights.DEFAULT")
    try:
        with path.open("rb") as file:
            head = file.read(len(_OLD_TORCH))
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        if head.startswith(_ZIP) and zipfile.ZipFile(path).testzip():  # torch.load does not look at the checksums
            raise zipfile.BadZipFile
        if head.startswith((_ZIP, _OLD_TORCH)):
            return torch.load(path, map_location="cpu", weights_only=True)
        return read_arrays(path)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file's permissions") from None
    except Exception as error:  # a damaged file can fail in any way
        raise UserError(f"{path}: {_explain(error)}") from None


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import safe_open
    except ImportError:
        raise UserError(f"{path}: reading it needs a package: pip install resdet[safetensors]") from None
    with safe_open(path, "pt") as file:
        said = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
    pixels = {name: torch.tensor(json.loads(said[name])) for name in ("mean", "std") if name in said}
    return {"state_dict": state, **pixels}


def _explain(error: Exception) -> str:
    """One line for what torch or the unpickler says of a bad file."""
    asked = re.search(r"it asks for (\S+)|GLOBAL (\S+)", str(error))
    if asked and isinstance(error, pickle.UnpicklingError):
        wanted = (asked[1] or asked[2])[:80]
        return f"refused, it asks to run {wanted} when loaded; save the tensors alone (a state dict) and use that file"
    if "not one of numbers" in str(error):
        return f"refused, {error}; save the tensors alone (a state dict) and use that file"
    return "not a whole weights file (truncated, or another kind of file); download or copy it again"


def _interpret(data: Any, source: str) -> Weights:
    if isinstance(data, Mapping) and data.get("format") == "resdet":
        return _own(data, source)
    tensors = _tensors(data)
    if "conv1_w" in tensors:
        return _foreign(tensors, names.from_caffe2, source, origin="caffe2", bgr=True, pixels=_MSRA)
    if not tensors.keys().isdisjoint({"stem.conv1.weight", "backbone.stem.conv1.weight"}):
        return _detectron2(tensors, source, data)
    pixels = _own_pixels(data) or _TORCHVISION
    if {"conv1.weight", "layer1.0.conv1.weight", "linear.weight"} <= tensors.keys():
        weights = _foreign(tensors, names.CIFAR.translate, source, origin="cifar", bgr=False, pixels=pixels)
        return weights if _projects(weights.state) else replace(weights, state=to_one_side(weights.state))
    if {"features.0.weight", "features.2.weight", "classifier.6.weight"} <= tensors.keys():
        if not tensors["classifier.6.weight"].isfinite().all():
            raise UserError(
                f"{source}: has no values for fc, and its convolutions want another preprocessing; take IMAGENET1K_V1"
            )
        rename = names.torchvision_vgg(19 if "features.34.weight" in tensors else 16).translate
        return _foreign(tensors, rename, source, origin="torchvision", bgr=False, pixels=pixels)
    if {"conv1.weight", "layer1.0.conv1.weight"} <= tensors.keys():
        return _foreign(tensors, names.TORCHVISION.translate, source, origin="torchvision", bgr=False, pixels=pixels)
    seen = f"its first tensor is {next(iter(tensors))}" if tensors else "it holds no named tensors"
    raise UserError(
        f"{source}: not a net that resdet knows ({seen}); give a torchvision ResNet or VGG, an MSRA ResNet (R-50.pkl), "
        "a detectron2 backbone or C4 detector, a ResNet for CIFAR-10, or a resdet checkpoint"
    )


def _tensors(data: Any) -> State:
    """The named tensors of a file, out of the usual wrappers; momentum and step counters left behind."""
    if not isinstance(data, Mapping):
        return {}
    for wrapper in ("model", "state_dict", "blobs"):
        if isinstance(data.get(wrapper), Mapping):
            data = data[wrapper]
            break
    found = {}
    for name, value in data.items():
        if not isinstance(name, str) or _is_no_weight(name) or not isinstance(value, Tensor | np.ndarray):
            continue
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value.detach()
        found[name.removeprefix("module.")] = tensor.float()  # "module." is DistributedDataParallel's
    return found


def _is_no_weight(name: str) -> bool:
    return name.endswith(("num_batches_tracked", "_momentum")) or "anchor_generator." in name


def _own_pixels(data: Any) -> tuple[Tensor, Tensor] | None:
    """Mean and std of a file that tools/export_weights.py wrote; None in the other projects' own files."""
    found = [data.get(name) for name in ("mean", "std")] if isinstance(data, Mapping) and "state_dict" in data else []
    mean, std = found or (None, None)
    return (mean, std) if isinstance(mean, Tensor) and isinstance(std, Tensor) else None


def _own(data: Mapping, source: str) -> Weights:
    """Our checkpoints hold their preprocessing as buffers, and say where the stride is if they know."""
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


def _detectron2(tensors: State, source: str, data: Mapping) -> Weights:
    """BGR and MSRA's mean, unless the file says otherwise.

    Two do: files that detectron2's converter made from torchvision's ResNets name it as their author, and old
    detectors hold `pixel_mean` and `pixel_std` in their input's channel order (red has the largest mean of ImageNet;
    our own files are BGR and say where the stride is).
    Nets trained with a std have their stride on the 3x3, detectron2's own pairing.
    """
    author = data.get("__author__")
    pixels, bgr = (_TORCHVISION, False) if author == "torchvision" else (_MSRA, True)
    if {"pixel_mean", "pixel_std"} <= tensors.keys():
        mean, std = tensors.pop("pixel_mean").flatten(), tensors.pop("pixel_std").flatten()
        bgr = author == AUTHOR or bool(mean[0] <= mean[-1])
        pixels = (mean.flip(0), std.flip(0)) if bgr else (mean, std)
    weights = _foreign(tensors, names.from_detectron2, source, origin="detectron2", bgr=bgr, pixels=pixels)
    return replace(weights, stride_on=data["stride_on"]) if author == AUTHOR else weights


def _foreign(
    tensors: State,
    rename: Callable[[str], str | None],
    source: str,
    *,
    origin: str,
    bgr: bool,
    pixels: tuple[Tensor, Tensor],
) -> Weights:
    state: State = {}
    leftover = []
    for name, tensor in tensors.items():
        ours = rename(name)
        if ours is None:
            leftover.append(name)
        elif ours in state:
            raise UserError(f"{source}: holds {ours} twice, the second as {name}; save one net a file")
        else:
            state[ours] = tensor
    if origin == "caffe2":
        _complete_affine(state)
    _absorb_biases(state)
    if bgr:
        state["conv1.conv.weight"] = state["conv1.conv.weight"].flip(1)
    mean, std = pixels
    is_detector = any(name.startswith(("rpn.", "head.")) for name in state)
    return Weights(
        state={f"net.{name}" if _TRUNK.match(name) else name: t for name, t in state.items()} if is_detector else state,
        mean=mean.clone(),
        std=std.clone(),
        stride_on=_stride_on(state, std),
        origin=origin,
        is_detector=is_detector,
        source=source,
        leftover=leftover,
    )


def _complete_affine(state: State) -> None:
    """Turn the affine-only layers of Detectron's files (`_bn_s`, `_bn_b`) into a batch normalisation.

    Mean 0 and variance 1 - eps: sqrt(variance + eps) is 1, so that folding gives back exactly s and b.
    """
    for name in [name for name in state if name.endswith(".bn.weight")]:
        layer = name.removesuffix("weight")
        state.setdefault(f"{layer}running_mean", torch.zeros_like(state[name]))
        state.setdefault(f"{layer}running_var", torch.full_like(state[name], 1 - _BN_EPS))


def _absorb_biases(state: State) -> None:
    """conv(x) + b - mean = conv(x) - (mean - b).

    The first convolution of MSRA's ResNet-50 has a bias; Detectron's converter gives all others one of zeros.
    """
    for name in [name for name in state if name.endswith(".conv.bias") and _TRUNK.match(name)]:
        mean = name.replace(".conv.bias", ".bn.running_mean")
        bias = state.pop(name)
        if mean in state:
            state[mean] = state[mean] - bias


def _stride_on(state: State, std: Tensor) -> StrideOn | None:
    if not _has_bottlenecks(state):
        return None
    return "1x1" if bool((std == 1).all()) else "3x3"


def _has_bottlenecks(state: Iterable[str]) -> bool:
    return any(name.endswith(".c.conv.weight") for name in state)


# Loading -------------------------------------------------------------------------------------------------------------


def load_weights(module: nn.Module, weights: Weights, *, allow_missing: tuple[str, ...] = ()) -> LoadReport:
    """Copy `weights` into a ResNet or a detector, and set its preprocessing to the origin's. All or nothing.

    A ResNet's weights go into a detector's ``net.`` (its fc is left over), a detector's ``net.`` into a ResNet.
    `allow_missing` names the layers that may stay as initialised, because the file lacks them or has them in another
    shape: ("rpn", "head") for a detector on an ImageNet net, ("head",) or ("fc",) for other classes. conv1..conv5
    always have to fit.

    Raises:
        UserError: the file and the net do not fit, or their bottlenecks have the stride in different places.
    """
    net = {name: t for name, t in module.state_dict().items() if not _is_no_weight(name) and "preprocess." not in name}
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
    _check_trunk(report, weights)
    _check_new_layers(report, weights, allow_missing)
    _check_stride(module, weights)
    with torch.no_grad():
        for name in report.matched:
            net[name].copy_(given[name])
        _set_preprocessing(module, weights)
    return report


def _align(weights: Weights, *, into_detector: bool) -> State:
    if into_detector and not weights.is_detector:
        return {f"net.{name}": tensor for name, tensor in weights.state.items()}
    if weights.is_detector and not into_detector:
        return {name.removeprefix("net."): tensor for name, tensor in weights.state.items()}
    return weights.state


def _check_trunk(report: LoadReport, weights: Weights) -> None:
    """conv1..conv5 must fit in full. Blocks too many count: ResNet-101's file fills a ResNet-50 without a gap."""
    stages = {_part(name) for name in [*report.matched, *report.missing]}
    problems = [f"{n} is {list(a)} in the file and {list(b)} in the net" for n, a, b in report.mismatched if _trunk(n)]
    problems += [f"{name} is not in the file" for name in report.missing if _trunk(name)]
    problems += [f"{name} is not in the net" for name in report.unexpected if _trunk(name) and _part(name) in stages]
    if not problems:
        return
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise UserError(
        f"{weights.source}: does not fit this net, {problems[0]}{more}; "
        f"the file is a ResNet of {_describe_blocks(weights.state)}: build that net or take another file"
    )


def _check_new_layers(report: LoadReport, weights: Weights, allow_missing: tuple[str, ...]) -> None:
    allowed = [entry.removesuffix(".*").removesuffix(".") for entry in allow_missing]

    def refused(name: str) -> bool:
        return not _trunk(name) and not any(name == a or name.startswith(f"{a}.") for a in allowed)

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
    if _has_bottlenecks(weights.state):
        raise UserError(
            f"{weights.source}: its bottlenecks have the stride on the {weights.stride_on}, this net on the "
            f"{stride_on}; build the net with stride_on='{weights.stride_on}'"
        )


def _set_preprocessing(module: nn.Module, weights: Weights) -> None:
    values = {"preprocess.mean": weights.mean, "preprocess.std": weights.std}
    for name, buffer in module.named_buffers():
        value = values.get(name.removeprefix("net."))
        if value is not None:
            buffer.copy_(value.view(*value.shape, *[1] * (buffer.dim() - value.dim())))  # [3] to [3, 32, 32] too


# Writing -------------------------------------------------------------------------------------------------------------


def usual_pixels(weights: Weights) -> bool:
    """Whether the preprocessing is torchvision's, which files under other projects' names need not say."""
    return torch.equal(weights.mean, _TORCHVISION[0]) and torch.equal(weights.std, _TORCHVISION[1])


def to_torchvision(state: Mapping[str, Tensor]) -> State:
    """A ResNet's or VGG's tensors under torchvision's names, for `torchvision.models.resnet50().load_state_dict`.

    The exact inverse of reading torchvision's. Left out is the preprocessing, which torchvision keeps elsewhere:
    its nets expect the inputs that `state` was trained with, and have the stride on the 3x3.

    Raises:
        UserError: torchvision has no such net, or the tensors are not of a net alone.
    """
    scheme = names.TORCHVISION
    if "fc6.weight" in state:
        scheme = names.torchvision_vgg(19 if "conv5.3.weight" in state else 16)
    renamed = _renamed(state, scheme.inverse().translate, "torchvision's ResNets and VGGs")
    if "fc6.weight" not in state:
        _check_torchvision(state)
    return renamed


def _check_torchvision(state: Mapping[str, Tensor]) -> None:
    """Its ResNets have four stages and option B's shortcuts."""
    if "conv5.0.a.conv.weight" not in state:
        raise UserError("a net without conv5, which torchvision's ResNets have; CIFAR's nets go --to cifar")
    first = 2 if _has_bottlenecks(state) else 3
    wanted = {f"conv{stage}.0" for stage in range(first, 6)}
    if _projects(state) != wanted:
        raise UserError("torchvision's ResNets have shortcuts of option B; this net's are others, or it is plain")


def _projects(state: Iterable[str]) -> set[str]:
    """The blocks, "conv3.0", whose shortcut is a convolution."""
    return {name.removesuffix(".shortcut.conv.weight") for name in state if name.endswith(".shortcut.conv.weight")}


def to_cifar(state: Mapping[str, Tensor]) -> State:
    """A CifarResNet's tensors as public checkpoints have them, their names and the order of their channels.

    The exact inverse of reading them; the preprocessing is left out, as above.
    """
    scheme, whose = names.CIFAR.inverse(), "the public nets for CIFAR-10"
    renamed = _renamed(state, scheme.translate, whose)
    return renamed if _projects(state) else _renamed(to_both_sides(state), scheme.translate, whose)


def to_detectron2(weights: Weights) -> dict[str, Any]:
    """A detector as a file of detectron2's model zoo, for `DetectionCheckpointer.load`: what read_weights reads back.

    Names, and the input's order of the channels, which is BGR there; `pixel_mean` and `pixel_std` are as its config's
    MODEL.PIXEL_MEAN and PIXEL_STD have to be.

    Raises:
        UserError: the weights are no detector on a ResNet.
    """
    if not weights.is_detector:
        raise UserError(f"{weights.source}: holds a net alone; detectron2's names are for detectors")
    if reads_context(weights.state):
        raise UserError(f"{weights.source}: has global context, which detectron2's C4 detectors do not have")
    state = _renamed(weights.state, names.to_detectron2, "detectron2's C4 detectors")
    first = "backbone.stem.conv1.weight"
    state[first] = state[first].flip(1)
    pixels = {"pixel_mean": weights.mean.flip(0), "pixel_std": weights.std.flip(0)}
    arrays = {name: t.numpy() for name, t in (state | pixels).items()}
    return {"model": arrays, "__author__": AUTHOR, "stride_on": weights.stride_on}


def _renamed(state: Mapping[str, Tensor], rename: Callable[[str], str | None], whose: str) -> State:
    renamed = {name: rename(name) for name in state if not name.startswith("preprocess.")}
    unknown = [name for name, theirs in renamed.items() if theirs is None]
    if unknown:
        raise UserError(f"{unknown[0]}: {whose} have no such tensor; pass the state of a net alone")
    return {cast(str, theirs): state[name] for name, theirs in renamed.items()}


# Words for messages --------------------------------------------------------------------------------------------------


def _trunk(name: str) -> bool:
    return _TRUNK.match(name) is not None


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
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def reads_context(state: Mapping[str, Tensor]) -> bool:
    """Whether a detector has global context: its siblings read twice what conv5 answers, or VGG's fc7."""
    answers = [t for name, t in state.items() if name.startswith(("net.conv5.", "net.fc7.")) and t.dim() > 1]
    return state["head.scores.weight"].shape[1] == 2 * answers[-1].shape[0]


def resnet_depth(state: Iterable[str]) -> int | None:
    """The depth of Table 1 that tensors of these names make; None if they are no ResNet's."""
    state = list(state)
    wanted = (_count_blocks(state), _has_bottlenecks(state))
    return next((depth for depth, blocks in BLOCKS.items() if (blocks, depth >= 50) == wanted), None)


def _describe_blocks(state: Iterable[str]) -> str:
    """ "3-4-6-3 bottlenecks": how many blocks each stage has."""
    state = list(state)
    kind = "bottlenecks" if _has_bottlenecks(state) else "basic blocks"
    return f"{'-'.join(map(str, _count_blocks(state)))} {kind}"


def _count_blocks(state: Iterable[str]) -> tuple[int, ...]:
    """Blocks of conv2_x to conv5_x."""
    found = {match.groups() for name in state if (match := re.match(r"(?:net\.)?conv([2-5])\.(\d+)\.", name))}
    return tuple(sum(stage == s for stage, _ in found) for s in "2345")
