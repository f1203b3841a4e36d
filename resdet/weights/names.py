"""Names of tensors: what other projects call the layers of our nets and of Faster R-CNN.

    DETECTRON2.translate("backbone.res3.0.conv1.norm.weight")   # "conv3.0.a.bn.weight"
    from_caffe2("res3_0_branch2a_bn_gamma")                     # the same
    TORCHVISION.translate("layer2.0.bn1.weight")                # the same
    TORCHVISION.inverse().translate("conv3.0.a.bn.weight")      # "layer2.0.bn1.weight"

Our names are the paper's (Table 1): conv1, then the stages conv2..conv5. A stage has the blocks 0, 1, ...; a block has
the layers a, b (and c) and the projection `shortcut`; a layer has a `conv` and its `bn`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from resdet.nets.vgg import LAYERS as VGG_LAYERS


@dataclass(frozen=True)
class Scheme:
    """One project's names, as tables from its layers to ours. A tensor's name is ``layer.weight`` and so on."""

    layers: dict[str, str]  # layers outside the blocks: "bn1" -> "conv1.bn"
    stages: dict[str, str]  # "layer1" -> "conv2"
    block: dict[str, str]  # layers inside a block: "downsample.0" -> "shortcut.conv"

    def translate(self, name: str) -> str | None:
        """The tensor's name on the other side, or None if the table does not have its layer."""
        layer, _, tensor = name.rpartition(".")
        if layer in self.layers:
            return f"{self.layers[layer]}.{tensor}"
        stage, _, rest = layer.partition(".")
        index, _, part = rest.partition(".")
        if stage in self.stages and part in self.block and index.isdecimal():
            return f"{self.stages[stage]}.{index}.{self.block[part]}.{tensor}"
        return None

    def inverse(self) -> Scheme:
        """The scheme from our names to the project's."""
        return Scheme(*({ours: theirs for theirs, ours in t.items()} for t in (self.layers, self.stages, self.block)))


def _block(**theirs: tuple[str, str]) -> dict[str, str]:
    """The table `Scheme.block` from the project's names of the convolution and the BN of each of our layers."""
    return {
        name: f"{layer}.{part}"
        for layer, names in theirs.items()
        for name, part in zip(names, ("conv", "bn"), strict=True)
    }


def _suffixed_block(suffix: str, **convolutions: str) -> dict[str, str]:
    """The table `Scheme.block` of a project that names each BN like its convolution, with `suffix` behind it."""
    return _block(**{layer: (name, name + suffix) for layer, name in convolutions.items()})


TORCHVISION = Scheme(
    layers={"conv1": "conv1.conv", "bn1": "conv1.bn", "fc": "fc"},
    stages={f"layer{i}": f"conv{i + 1}" for i in range(1, 5)},
    block=_block(a=("conv1", "bn1"), b=("conv2", "bn2"), c=("conv3", "bn3"), shortcut=("downsample.0", "downsample.1")),
)

_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_TRANSFORMERS_BLOCK = re.compile(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(?:layer\.(\d+)|shortcut)\.(\w+)\.(\w+)")
_STAGE = re.compile(r"(backbone\.|roi_heads\.)?(layer[1-4]|res[2-5])[._]")


def from_children(name: str) -> str:
    """torchvision's name for a tensor of a ResNet whose children were put into a torch.nn.Sequential."""
    child, dot, rest = name.partition(".")
    return f"{_CHILDREN.get(child, child)}{dot}{rest}"


def from_transformers(name: str) -> str:
    """torchvision's name for a tensor of Hugging Face's ResNetModel."""
    match = _TRANSFORMERS_BLOCK.fullmatch(name)
    if match is None:
        stem = name.replace("embedder.embedder.convolution.", "conv1.")
        return stem.replace("embedder.embedder.normalization.", "bn1.")
    stage, block, layer, part, tensor = match.groups()
    is_norm = part == "normalization"
    own = f"downsample.{int(is_norm)}" if layer is None else f"{'bn' if is_norm else 'conv'}{int(layer) + 1}"
    return f"layer{int(stage) + 1}.{block}.{own}.{tensor}"


def in_stage(name: str) -> bool:
    """Whether a tensor, by a project's name without prefix, is inside of a ResNet's conv2..conv5."""
    return _STAGE.match(name) is not None


def torchvision_vgg(depth: int) -> Scheme:
    """torchvision's VGG-16 or VGG-19: one index counts convolutions, ReLUs and poolings."""
    layers = {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc"}
    index = 0
    for stage, count in enumerate(VGG_LAYERS[depth], 1):
        for i in range(count):
            layers[f"features.{index}"] = f"conv{stage}.{i}"
            index += 2
        index += 1
    return Scheme(layers, stages={}, block={})


# ResNets for CIFAR-10 (6n + 2 layers, Sect. 4.2), as public PyTorch checkpoints name their layers.
CIFAR = Scheme(
    layers={"conv1": "conv1.conv", "bn1": "conv1.bn", "linear": "fc"},
    stages={f"layer{i}": f"conv{i + 1}" for i in range(1, 4)},
    block=_block(a=("conv1", "bn1"), b=("conv2", "bn2"), shortcut=("shortcut.0", "shortcut.1")),
)

_RPN = "proposal_generator.rpn_head"
_HEAD = "roi_heads.box_predictor"

# Backbones and C4 detectors. In a C4 detector conv5 (res5) belongs to the RoI heads: its names begin with "roi_heads.".
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
    block=_suffixed_block(".norm", a="conv1", b="conv2", c="conv3", shortcut="shortcut"),
)


def from_detectron2(name: str) -> str | None:
    """Our name for a tensor of detectron2's backbone or C4 detector; None if our nets have no such tensor."""
    return DETECTRON2.translate(re.sub(r"^(backbone\.(?=stem|res)|roi_heads\.(?=res))", "", name))


def to_detectron2(name: str) -> str | None:
    """detectron2's name for a tensor of our detector; None if its C4 detectors have no such tensor."""
    theirs = _TO_DETECTRON2.translate(name.removeprefix("net."))
    if theirs is None or theirs.startswith(("proposal_generator.", "roi_heads.")):
        return theirs
    return f"roi_heads.{theirs}" if theirs.startswith("res5.") else f"backbone.{theirs}"


_TO_DETECTRON2 = DETECTRON2.inverse()

_CAFFE2 = Scheme(
    layers={"conv1": "conv1.conv", "res_conv1_bn": "conv1.bn", "fc1000": "fc", "pred": "fc"},
    stages={f"res{i}": f"conv{i}" for i in range(2, 6)},
    block=_suffixed_block("_bn", a="branch2a", b="branch2b", c="branch2c", shortcut="branch1"),
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
    """Our name for a tensor of the MSRA ResNets in Detectron's files (R-50.pkl); None if our nets do not have it."""
    match = _CAFFE2_NAME.fullmatch(name)
    if match is None:
        return None
    layer = re.sub(r"^(res[2-5])_(\d+)_", r"\1.\2.", match["layer"])
    return _CAFFE2.translate(f"{layer}.{_CAFFE2_TENSORS[match['tensor']]}")
