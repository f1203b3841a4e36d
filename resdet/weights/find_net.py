"""Find the net among what a file holds: in wrappers, behind prefixes, beside whatever else a training script saved.

    found = find_net({"epoch": 3, "model_state_dict": {"module.conv1.weight": ...}})
    found.layout, found.prefix            # "torchvision", "module."

A net is recognized by the names of a few of its tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from resdet.weights.foreign import Foreign

Layout = Literal["caffe2", "detectron2", "cifar", "vgg", "torchvision", "children", "transformers"]

# The first that a file has decides.
_MARKS: dict[Layout, tuple[str, ...]] = {
    "caffe2": ("conv1_w",),
    "detectron2": ("stem.conv1.weight",),
    "cifar": ("conv1.weight", "layer1.0.conv1.weight", "linear.weight"),
    "vgg": ("features.0.weight", "features.2.weight", "classifier.6.weight"),
    "torchvision": ("conv1.weight", "layer1.0.conv1.weight"),
    "children": ("0.weight", "4.0.conv1.weight"),  # nn.Sequential(*resnet.children())
    "transformers": ("embedder.embedder.convolution.weight", "encoder.stages.0.layers.0.layer.0.convolution.weight"),
}

# Keys under which training scripts save a net. They are looked at in this order, then all others. The teacher, a moving
# average, is what DINO's authors test.
_WRAPPERS = (
    "model", "state_dict", "blobs", "model_state_dict", "model_state", "net", "network", "module", "weights", "params",
    "backbone", "encoder", "teacher", "student", "state_dict_ema", "model_ema", "ema", "ema_state_dict",
)  # fmt: skip
_NO_NETS = ("optimizer", "optim", "scheduler", "lr_scheduler", "scaler")
_TENSORS = ("torch._utils._rebuild", "torch._tensor._rebuild", "numpy.core.multiarray._reconstruct")
_DEPTH, _MOST = 4, 2000  # levels of mappings, and mappings, that are looked at
_ITEMS = 8  # of a list


@dataclass
class FoundNet:
    """A net in a file: the mapping that holds its tensors, and what is before their names."""

    layout: Layout
    prefix: str  # "module.encoder_q."
    values: Mapping[str, Any]  # by name, with prefix; not only the net's
    place: str  # of the mapping in the file: "state_dict"; "" for the file itself
    others: list[str]  # further nets: their places and prefixes, as `name` gives it

    @property
    def name(self) -> str:
        """Where the net is, for messages: "state_dict.module.*"."""
        return _place_of(self.place, self.prefix)


def find_net(content: Any) -> FoundNet | None:
    """Find the first net in the content of a file, and name all others; None if there is none that resdet knows."""
    found: FoundNet | None = None
    for place, values in _mappings(content):
        layout, prefixes = _nets_in(values)
        if layout is None:
            continue
        if found is None:
            found = FoundNet(layout, prefixes[0], values, place, [])
            prefixes = prefixes[1:]
        found.others += [_place_of(place, prefix) for prefix in prefixes]
    return found


def _nets_in(values: Mapping[Any, Any]) -> tuple[Layout | None, list[str]]:
    """The layout of the nets in one mapping, and the prefix of each."""
    names = {name: None for name in values if isinstance(name, str)}
    for layout in _MARKS:
        prefixes = list(_prefixes(layout, names))
        if prefixes:
            return layout, prefixes
    return None, []


def _place_of(place: str, prefix: str) -> str:
    """ "state_dict", or with a prefix "state_dict.module.*"."""
    return ".".join(filter(None, (place, f"{prefix}*" if prefix else "")))


def keys_seen(content: Any, most: int = 8) -> str:
    """What a file holds, for messages: its first keys, and the first tensor's name."""
    mappings = [mapping for _, mapping in _mappings(content)]
    if not mappings:
        return "it holds no named tensors"
    keys = [str(key)[:40] for key in mappings[0]]
    text = f"its keys are {', '.join(keys[:most])}" + (f" and {len(keys) - most} more" if len(keys) > most else "")
    tensors = (str(name) for mapping in mappings for name, value in mapping.items() if is_tensor(value))
    first = next(tensors, None)
    if first is None:
        return f"{text}; it holds no named tensors"
    return f"{text}; its first tensor is {first[:80]}"


def is_tensor(value: Any) -> bool:
    """Whether a value of a file is a tensor, or will be one when it is decoded."""
    return isinstance(value, Tensor | np.ndarray) or (isinstance(value, Foreign) and value.name.startswith(_TENSORS))


def _prefixes(layout: Layout, names: Mapping[str, None]) -> Iterator[str]:
    """What is before the names of each net of this layout, in the order of the file."""
    first, *others = _MARKS[layout]
    for name in names:
        if not name.endswith(first):
            continue
        prefix = name.removesuffix(first)
        if prefix and prefix[-1] not in "./":
            continue
        if not all(f"{prefix}{other}" in names for other in others):
            continue
        if layout == "detectron2":  # a detector's head, roi_heads.res5, is beside its backbone
            prefix = prefix.removesuffix("backbone.")
        yield prefix


def _mappings(content: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """The content and the mappings in it with their places, the outer ones first."""
    level = [("", content)]
    seen = 0
    for _ in range(_DEPTH):
        found = [(place, mapping) for place, value in level if (mapping := _as_mapping(value))]
        yield from found
        seen += len(found)
        if seen > _MOST:
            return
        level = [
            (f"{place}.{str(key)[:40]}".lstrip("."), mapping[key])
            for place, mapping in found
            for key in sorted(mapping, key=_rank)
            if key not in _NO_NETS
        ]


def _rank(key: Any) -> int:
    return _WRAPPERS.index(key) if key in _WRAPPERS else len(_WRAPPERS)


def _as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """A dict, the items of a foreign one, a saved module's tensors by name, any object's attributes, or a list."""
    if isinstance(value, list | tuple):  # (state, epoch), or the nets of an ensemble
        return dict(enumerate(value[:_ITEMS]))
    if not isinstance(value, Foreign):
        return value if isinstance(value, Mapping) else None
    if value.items or not isinstance(value.state, Mapping):
        return value.items or None
    return dict(_module_tensors(value)) if "_parameters" in value.state else value.state


def _module_tensors(module: Foreign, prefix: str = "", depth: int = 20) -> Iterator[tuple[str, Any]]:
    """The tensors of a pickled torch.nn.Module, under the names of its state dict."""
    for kind in ("_parameters", "_buffers"):
        for name, tensor in module.state.get(kind, {}).items():
            if tensor is not None:
                yield f"{prefix}{name}", tensor
    for name, child in module.state.get("_modules", {}).items():
        if depth and isinstance(child, Foreign) and isinstance(child.state, Mapping):
            yield from _module_tensors(child, f"{prefix}{name}.", depth - 1)
