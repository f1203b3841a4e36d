"""One layer, four names: how other projects call the parts of our ResNet and Faster R-CNN.

    DETECTRON2.translate("backbone.res3.0.conv1.norm.weight")   # "conv3.0.a.bn.weight"
    from_caffe2("res3_0_branch2a_bn_gamma")                     # the same
    TORCHVISION.translate("layer2.0.bn1.weight")                # the same
    TORCHVISION.inverse().translate("conv3.0.a.bn.weight")      # "layer2.0.bn1.weight"

Our names are the paper's (Table 1): conv1, the stages conv2..conv5, in each the blocks 0, 1, ..., in each block the
layers a, b (and c) and the projection `shortcut`; a layer is a `conv` and its `bn`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from resdet.nets.vgg import LAYERS as VGG_LAYERS


@dataclass(frozen=True)
class Scheme:
    """How one project names things, each table from its names to ours. A name is a layer, a dot, and a tensor."""

    layers: dict[str, str]  # outside the blocks: "bn1" -> "conv1.bn"
    stages: dict[str, str]  # "layer1" -> "conv2"
    block: dict[str, str]  # inside a block: "downsample.0" -> "shortcut.conv"

    def translate(self, name: str) -> str | None:
        """The other name of a tensor, or None where it has none."""
        layer, _, tensor = name.rpartition(".")
        if layer in self.layers:
            return f"{self.layers[layer]}.{tensor}"
        stage, _, rest = layer.partition(".")
        index, _, part = rest.partition(".")
        if stage in self.stages and part in self.block and index.isdecimal():
            return f"{self.stages[stage]}.{index}.{self.block[part]}.{tensor}"
        return None

    def inverse(self) -> Scheme:
        """From our names to the project's."""
        return Scheme(*({ours: theirs for theirs, ours in t.items()} for t in (self.layers, self.stages, self.block)))


TORCHVISION = Scheme(
    layers={"conv1": "conv1.conv", "bn1": "conv1.bn", "fc": "fc"},
    stages={f"layer{i}": f"conv{i + 1}" for i in range(1, 5)},
    block={
        "conv1": "a.conv",
        "bn1": "a.bn",
        "conv2": "b.conv",
        "bn2": "b.bn",
        "conv3": "c.conv",
        "bn3": "c.bn",
        "downsample.0": "shortcut.conv",
        "downsample.1": "shortcut.bn",
    },
)


def torchvision_vgg(depth: int) -> Scheme:
    """Of VGG-16 and VGG-19: torchvision counts convolutions, ReLUs and poolings alike."""
    layers = {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc"}
    index = 0
    for stage, count in enumerate(VGG_LAYERS[depth], 1):
        for i in range(count):
            layers[f"features.{index}"] = f"conv{stage}.{i}"
            index += 2
        index += 1
    return Scheme(layers, stages={}, block={})


# The nets of 6n + 2 layers as public PyTorch checkpoints for CIFAR-10 name them.
CIFAR = Scheme(
    layers={"conv1": "conv1.conv", "bn1": "conv1.bn", "linear": "fc"},
    stages={f"layer{i}": f"conv{i + 1}" for i in range(1, 4)},
    block={
        "conv1": "a.conv",
        "bn1": "a.bn",
        "conv2": "b.conv",
        "bn2": "b.bn",
        "shortcut.0": "shortcut.conv",
        "shortcut.1": "shortcut.bn",
    },
)

_RPN = "proposal_generator.rpn_head"
_HEAD = "roi_heads.box_predictor"

# Of detectors only the C4 form: conv5 (res5) belongs to the RoI heads, whose names start with "roi_heads.".
DETECTRON2 = Scheme(
    layers={
        "stem.conv1": "conv1.conv",
        "stem.conv1.norm": "conv1.bn",
        "stem.fc": "fc",
        f"{_RPN}.conv": "rpn.conv",
        f"{_RPN}.objectness_logits": "rpn.objectness",
        f"{_RPN}.anchor_deltas": "rpn.deltas",
        f"{_HEAD}.cls_score": "head.scores",
        f"{_HEAD}.bbox_pred": "head.deltas",
    },
    stages={f"res{i}": f"conv{i}" for i in range(2, 6)},
    block={
        "conv1": "a.conv",
        "conv1.norm": "a.bn",
        "conv2": "b.conv",
        "conv2.norm": "b.bn",
        "conv3": "c.conv",
        "conv3.norm": "c.bn",
        "shortcut": "shortcut.conv",
        "shortcut.norm": "shortcut.bn",
    },
)


def from_detectron2(name: str) -> str | None:
    """Our name for detectron2's, of a bare backbone or inside a C4 detector; None where there is none."""
    return DETECTRON2.translate(re.sub(r"^(backbone\.(?=stem|res)|roi_heads\.(?=res))", "", name))


def to_detectron2(name: str) -> str | None:
    """The inverse, for the parts of a C4 detector; None where detectron2 has no such part."""
    theirs = _TO_DETECTRON2.translate(name.removeprefix("net."))
    if theirs is None or theirs.startswith(("proposal_generator.", "roi_heads.")):
        return theirs
    return f"roi_heads.{theirs}" if theirs.startswith("res5.") else f"backbone.{theirs}"


_TO_DETECTRON2 = DETECTRON2.inverse()

_CAFFE2 = Scheme(
    layers={"conv1": "conv1.conv", "res_conv1_bn": "conv1.bn", "fc1000": "fc", "pred": "fc"},
    stages={f"res{i}": f"conv{i}" for i in range(2, 6)},
    block={
        "branch2a": "a.conv",
        "branch2a_bn": "a.bn",
        "branch2b": "b.conv",
        "branch2b_bn": "b.bn",
        "branch2c": "c.conv",
        "branch2c_bn": "c.bn",
        "branch1": "shortcut.conv",
        "branch1_bn": "shortcut.bn",
    },
)

_CAFFE2_TENSORS = {
    "w": "weight",
    "b": "bias",
    "s": "weight",
    "gamma": "weight",
    "beta": "bias",
    "rm": "running_mean",
    "riv": "running_var",  # the blob holds the variance in spite of its "inverse"
    "running_mean": "running_mean",
    "running_var": "running_var",
}
_CAFFE2_NAME = re.compile(rf"(?P<layer>\w+?)_(?P<tensor>{'|'.join(_CAFFE2_TENSORS)})")


def from_caffe2(name: str) -> str | None:
    """Our name for that of the MSRA ResNets as Detectron and detectron2 publish them; None where there is none."""
    match = _CAFFE2_NAME.fullmatch(name)
    if match is None:
        return None
    layer = re.sub(r"^(res[2-5])_(\d+)_", r"\1.\2.", match["layer"])
    return _CAFFE2.translate(f"{layer}.{_CAFFE2_TENSORS[match['tensor']]}")
