"""Write a config for one's own data: its sets and classes, anchors of its objects' sizes, bins that fit the trunk.

trunk = Trunk(depth=18, crop=224)
text, said = new_config("data/export", trunk)          # the file, and a line for each choice
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.coco import COCODataset
from resdet.data.detection.recognition import TEST, TRAIN, VAL, Recognized, Source, recognize
from resdet.data.detection.splitting import stratified_split, take_images
from resdet.data.detection.voc import VOCDataset
from resdet.data.transforms import Resizer
from resdet.engine.kept_config import kept_config
from resdet.errors import UserError
from resdet.recipes.detection.new_config_template import TEMPLATE

EPOCHS, IMAGES = 20, 2  # of the training set, and images per step
STEPS = (1000, 90_000)  # fewest and most
SIZES = ((400, 667), (600, 1000), (800, 1333))  # short and long side of the network's input
SMALLEST = 16  # pixels of the network's input: one cell of the trunk's map
LARGEST_ANCHOR = 512
FRACTION = 0.8  # of the images are for training where the data are not divided


@dataclass(frozen=True)
class Trunk:
    """The ResNet that a training will start from.

    Args:
        depth: 18, 34, 50, 101 or 152.
        crop: side in pixels of the crops that it was trained on.
        stride_on: convolution with the stride in a bottleneck: "1x1" (the paper's), or "3x3" (torchvision's).
        why: how this is known, for people.
    """

    depth: int = 18
    crop: int = 224
    stride_on: str = "1x1"
    why: str = "no weights were named"

    @property
    def bins(self) -> int:
        """A sixteenth of the crop: conv5 then reads maps of the size that it was trained on."""
        return max(1, round(self.crop / 16))


@dataclass(frozen=True)
class NewConfig:
    """A config's text, and a line for each of its choices."""

    text: str
    choices: tuple[str, ...]


def trunk_of(weights: str | None, depth: int | None, crop: int | None) -> Trunk:
    """What is known of the weights that a training will start from.

    Args:
        weights: as for --init-from; None: not known yet.
        depth, crop: what the user says of them, which counts; None: from the weights, else 18 and 224.

    Raises:
        UserError: `crop` is below 32.
    """
    if crop is not None and crop < 32:
        raise UserError(
            f"--crop {crop}: give the side in pixels of the crops that the trunk was trained on, such as 224"
        )
    known = Trunk() if weights is None else _look_at(weights)
    return Trunk(depth or known.depth, crop or known.crop, known.stride_on, "you said so" if crop else known.why)


def new_config(path: str | Path, name: str, trunk: Trunk) -> NewConfig:
    """Write the text of a config for a data set.

    Args:
        path: see data/detection/recognition.open_dataset.
        name: of the config's file, for its docstring.
        trunk: what the training will start from.

    Raises:
        UserError: the data set is not recognized or cannot be read.
    """
    found = recognize(path)
    train, test = _choose(found)
    classes = _classes(found, train, test)
    dataset = train.open(classes=classes)
    table = dataset.table
    if test is None:
        table = take_images(table, stratified_split(table, FRACTION)[0])
    if not len(table.labels):
        raise UserError(f"{path}: no object is annotated in the training set; annotate some")
    sides, ratios = _sides(table), _ratios(table)
    short, long, factors = _input_size(table, sides)
    scales = anchor_scales(sides * factors)
    steps = int(np.clip(round(EPOCHS * len(table) / IMAGES, -2), *STEPS))
    whys = _whys(trunk, sides * factors, scales, (short, len(table), steps))
    text = TEMPLATE.format(
        depth=trunk.depth, stride_on=trunk.stride_on, bins=trunk.bins, what=found.what, classes=len(classes), name=name,
        images=len(table), root=str(found.root), class_names=tuple(classes), scales=scales,
        ratios=anchor_ratios(ratios), proposals=300, short=short, long=long, batch=IMAGES, steps=steps,
        milestone=round(0.7 * steps), validate=max(1, steps // 6),
        method="coco" if train.kind is COCODataset else "area", **_sets_in_words(train, test), **whys,
    )  # fmt: skip
    divided = "one set, split 80 : 20" if test is None else "a training and a test set"
    first = f"{path}: {found.what}, {divided}; {len(table)} training images, {len(table.labels)} objects"
    return NewConfig(text, (first, *whys.values()))


def anchor_scales(sides: np.ndarray) -> tuple[int, ...]:
    """Powers of two from the smallest to the largest objects, 2 % at either end left out.

    Args:
        sides: square roots of the objects' areas in pixels of the network's input, [M].
    """
    low, high = np.log2(np.clip(np.quantile(sides, [0.02, 0.98]), SMALLEST, LARGEST_ANCHOR))
    first, last = round(float(low)), round(float(high))
    return tuple(2**k for k in range(first, max(last, first + 1) + 1))


def anchor_ratios(ratios: np.ndarray) -> tuple[float, ...]:
    """The paper's ratios, height / width, with 1/3 or 3 if a tenth of the objects, [M], is flatter or taller."""
    low, high = np.quantile(ratios, [0.1, 0.9])
    return (*((0.33,) if low < 0.33 else ()), 0.5, 1, 2, *((3,) if high > 3 else ()))


def _look_at(weights: str) -> Trunk:
    """Depth and crop of our own checkpoints, from the config they keep; of others from their name."""
    kept = kept_config(weights)
    if kept is not None:
        net = kept.get("net") or kept.get("model", {}).get("net") or {}
        depth, stride_on = net.get("depth", 18), net.get("stride_on", "1x1")
        view = kept.get("data", {}).get("train_view", {})
        bins = kept.get("model", {}).get("head", {}).get("bins")
        size = view.get("size") if view else bins and 16 * bins
        crop = max(size.values()) if isinstance(size, dict) else size
        return Trunk(int(depth), int(crop or 224), str(stride_on), f"{weights} says so")
    digits = next((d for d in ("152", "101", "50", "34", "18") if d in Path(weights).name), None)
    torchvision = "torchvision" in weights.lower() or "_Weights" in weights or Path(weights).name.startswith("resnet")
    stride_on = "3x3" if torchvision and digits in ("50", "101", "152") else "1x1"
    return Trunk(int(digits or 18), 224, stride_on, f"{Path(weights).name} is taken to be trained on ImageNet")


def _choose(found: Recognized) -> tuple[Source, Source | None]:
    """The training set, and the set to test on: validation before test; None where nothing is divided."""
    if "trainval" in found.sets and found.named(TEST):
        return found.sets["trainval"], found.sets[str(found.named(TEST))]
    train, test = found.named(TRAIN), found.named(VAL) or found.named(TEST)
    if train is None or test is None:
        return found.sets[train or next(iter(found.sets))], None
    return found.sets[train], found.sets[test]


def _classes(found: Recognized, train: Source, test: Source | None) -> tuple[str, ...]:
    """The classes of both sets; VOC's in alphabetical order, others as their files number them."""
    options: dict[str, Any] = {"classes": None}
    names = list(_open_classes(train, options))
    if test is not None and train.kind is VOCDataset:
        names = sorted({*names, *_open_classes(test, options)})
    return tuple(names)


def _open_classes(source: Source, options: dict[str, Any]) -> Sequence[str]:
    return source.open(**options).classes


def _sets_in_words(train: Source, test: Source | None) -> dict[str, str]:
    """The config's data sets as Python, and the imports of their classes."""
    imports = {f"from {train.kind.__module__} import {train.kind.__name__}"}
    if test is not None:
        return {"imports": "\n".join(imports), "whole": "", "train": _in_words(train), "test": _in_words(test)}
    imports.add("from resdet.data.detection.splitting import SplitPart")
    parts = {
        name: f'dict(type=SplitPart, dataset=PHOTOS, part="{name}", fraction={FRACTION}, seed=0)'
        for name in ("train", "test")
    }
    return {"imports": "\n".join(sorted(imports)), "whole": f"PHOTOS = {_in_words(train)}\n", **parts}


def _in_words(source: Source) -> str:
    values = ", ".join(f"{key}={value!r}" for key, value in source.values.items() if key != "root")
    return f"dict(type={source.kind.__name__}, root=ROOT, {values}, classes=CLASSES)"


def _sides(table: Any) -> np.ndarray:
    """Square roots of the objects' areas in pixels of their images, [M]."""
    sides: np.ndarray = np.sqrt((table.boxes[:, 2:] - table.boxes[:, :2]).prod(1))
    return sides


def _ratios(table: Any) -> np.ndarray:
    sides = table.boxes[:, 2:] - table.boxes[:, :2]
    ratios: np.ndarray = sides[:, 1] / sides[:, 0]
    return ratios


def _input_size(table: Any, sides: np.ndarray) -> tuple[int, int, np.ndarray]:
    """The smallest input size at which nine of ten objects are larger than a cell, and the factor of each object."""
    for short, long in SIZES:
        resizer = Resizer(short, long)
        by_image = np.array([resizer.factor(*size) for size in table.sizes.tolist()])
        factors = by_image[table.image_of_object()]
        if np.quantile(sides * factors, 0.1) >= SMALLEST:
            break
    return short, long, factors


def _whys(trunk: Trunk, sides: np.ndarray, scales: tuple[int, ...], facts: tuple[int, int, int]) -> dict[str, str]:
    """A line for each choice."""
    short, images, steps = facts
    low, middle, high = np.quantile(sides, [0.02, 0.5, 0.98])
    return {
        "bins_why": f"{trunk.bins} bins: a sixteenth of the trunk's {trunk.crop}-pixel crops ({trunk.why}); "
        "14 for 224, 7 for 112",
        "anchors_why": f"Objects have sides of {low:.0f} to {high:.0f} pixels, median {middle:.0f}: anchors of "
        f"{scales[0]} to {scales[-1]}",
        "size_why": f"Short side {short}: for nine of ten objects to be larger than {SMALLEST} pixels, up to 800",
        "steps_why": f"{steps} steps of {IMAGES} images are {steps * IMAGES / images:.0f} epochs",
    }
