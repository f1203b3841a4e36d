"""Write a config for your own data: data sets, classes, anchors of the objects' sizes, RoI bins that fit the trunk.

trunk = Trunk(depth=18, crop=224)
text, said = new_config("data/export", trunk)          # the file, and a line for each choice
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.annotations import AnnotationTable, take_objects
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.recognition import recognize
from resdet.data.detection.recognized import Source
from resdet.data.detection.splitting import stratified_split, take_images
from resdet.data.transforms import Resizer
from resdet.engine.kept_config import kept_config
from resdet.errors import UserError
from resdet.nets.resnet import BLOCKS
from resdet.recipes.detection.new_config_data import evaluation_of, read_data
from resdet.recipes.detection.new_config_template import TEMPLATE
from resdet.weights.hub import hub_file, local_file
from resdet.weights.other_files import refuse_graph
from resdet.weights.read import read_weights, split_origin
from resdet.weights.weights import resnet_depth
from resdet.weights.zoo import check_present, find

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
        why: where these values come from, for the message.
        weights: the file or name, for the config's `init_from`; None: not known yet.
    """

    depth: int = 18
    crop: int = 224
    stride_on: str = "1x1"
    why: str = "no weights were named"
    weights: str | None = None

    @property
    def bins(self) -> int:
        """RoI bins: a sixteenth of the crop, so that conv5 reads maps of the size that it was trained on."""
        return max(1, round(self.crop / 16))


@dataclass(frozen=True)
class NewConfig:
    """A config's text, and a line for each of its choices."""

    text: str
    choices: tuple[str, ...]


def trunk_of(weights: str | None, depth: int | None, crop: int | None) -> Trunk:
    """Find out depth and crop of the weights that a training will start from.

    Args:
        weights: a file or name, as for --init-from; None: not known yet.
        depth, crop: given by the user; None: taken from the weights, else 18 and 224.

    Raises:
        UserError: `crop` is below 32, or there are no such weights.
    """
    if crop is not None and crop < 32:
        raise UserError(
            f"--crop {crop}: give the side in pixels of the crops that the trunk was trained on, such as 224"
        )
    known = Trunk() if weights is None else _look_at(weights)
    return Trunk(
        depth or known.depth, crop or known.crop, known.stride_on, "you said so" if crop else known.why, weights
    )


def new_config(path: str | Path, name: str, trunk: Trunk) -> NewConfig:
    """Write the text of a config for a data set.

    Args:
        path: see data/detection/recognition.open_dataset.
        name: of the config's file, for its docstring.
        trunk: what the training will start from.

    Raises:
        UserError: the data set is not recognized or cannot be read.
    """
    data = read_data(path, recognize(path))
    found, train, test, classes, table = data.found, data.train, data.test, data.classes, data.table
    fraction = _fraction(path, table) if test is None else FRACTION
    if test is None:
        table = take_images(table, stratified_split(table, fraction)[0])
    difficult, crowds = int(table.difficult.sum()), int(table.crowd.sum())
    table = take_objects(table, ~table.difficult & ~table.crowd)
    if not len(table.labels):
        raise UserError(f"{path}: no object of the training set is learned, {_why_none(difficult, crowds)}")
    sides, ratios = _sides(table), _ratios(table)
    short, long, factors = _input_size(table, sides)
    scales = anchor_scales(sides * factors)
    steps = int(np.clip(round(EPOCHS * len(table) / IMAGES, -2), *STEPS))
    whys = _whys(trunk, sides * factors, scales, (short, len(table), steps))
    sets = _sets_in_words(train, test, fraction, difficult > 0)
    text = TEMPLATE.format(
        depth=trunk.depth, stride_on=trunk.stride_on, bins=trunk.bins, what=found.what, classes=len(classes), name=name,
        evaluate=f"{evaluation_of(train)} runs/{Path(name).stem}/last.pth",
        images=len(table), class_names=tuple(classes), scales=scales,
        ratios=anchor_ratios(ratios), proposals=300, short=short, long=long, batch=IMAGES, steps=steps,
        milestone=round(0.7 * steps), validate=max(1, steps // 6),
        method="coco" if train.kind is COCODataset else "area", **_start(trunk, found.root), **sets, **whys,
    )  # fmt: skip
    parts = f"one set, split {100 * fraction:.0f} : {100 - 100 * fraction:.0f}"
    divided = "a training and a test set" if test else parts
    first = f"{path}: {found.what}, {divided}; {len(table)} training images, {len(table.labels)} objects"
    return NewConfig(text, (first, *data.notes(name), *_notes(difficult, crowds), *whys.values()))


def _start(trunk: Trunk, root: str | Path) -> dict[str, Any]:
    """Where the training starts from, for the config and its docstring, and where the data are."""
    relative = not Path(root).is_absolute()
    return {
        "init_from": trunk.weights,
        "weights": "" if trunk.weights else " --init-from WEIGHTS",
        "root": str(root),
        "relative": "  # relative to the folder that commands are run in" if relative else "",
    }


def _notes(difficult: int, crowds: int) -> list[str]:
    notes = []
    if difficult:
        notes.append(f"{difficult} objects marked difficult are not trained on, and count neither way in a test")
    if crowds:
        notes.append(
            f"{crowds} objects are crowds (iscrowd), which are not learned; correct those that are single objects, as "
            "the masks that CVAT exports"
        )
    return notes


def anchor_scales(sides: np.ndarray) -> tuple[int, ...]:
    """Powers of two from the smallest to the largest object, without the smallest and the largest 2 %.

    Args:
        sides: square roots of the objects' areas in pixels of the network's input, [M].
    """
    low, high = np.log2(np.clip(np.quantile(sides, [0.02, 0.98]), SMALLEST, LARGEST_ANCHOR))
    first, last = round(float(low)), round(float(high))
    return tuple(2**k for k in range(first, max(last, first + 1) + 1))


def anchor_ratios(ratios: np.ndarray) -> tuple[float, ...]:
    """The paper's ratios, height / width; also 1/3 if a tenth of the objects, [M], is flatter, 3 if taller."""
    low, high = np.quantile(ratios, [0.1, 0.9])
    return (*((0.33,) if low < 0.33 else ()), 0.5, 1, 2, *((3,) if high > 3 else ()))


def _look_at(weights: str) -> Trunk:
    """Depth, crop and stride: of our own checkpoints from their config, of other files as read, else from the name."""
    origin, name = split_origin(weights)
    if hub_file(name) is None and find(name) is None:
        check_present(Path(name))
        refuse_graph(Path(name))
    kept = kept_config(local_file(name))
    if kept is not None:
        net = kept.get("net") or kept.get("model", {}).get("net") or {}
        depth, stride_on = net.get("depth", 18), net.get("stride_on", "1x1")
        view = kept.get("data", {}).get("train_view", {})
        bins = kept.get("model", {}).get("head", {}).get("bins")
        size = view.get("size") if view else bins and 16 * bins
        crop = max(size.values()) if isinstance(size, dict) else size
        return Trunk(_depth(weights, depth), int(crop or 224), str(stride_on), f"{weights} says so")
    if Path(name).is_file():
        found = read_weights(weights)
        depth = _depth(weights, resnet_depth(found.state))
        why = f"{Path(name).name} is a ResNet-{depth}, taken to be trained on ImageNet"
        return Trunk(depth, 224, found.stride_on or "1x1", why)
    digits = next((d for d in ("152", "101", "50", "34", "18") if d in Path(name).name), None)
    torchvision = "torchvision" in weights.lower() or "_Weights" in name or Path(name).name.startswith("resnet")
    torchvision = torchvision and origin != "caffe"
    stride_on = "3x3" if torchvision and digits in ("50", "101", "152") else "1x1"
    return Trunk(int(digits or 18), 224, stride_on, f"{Path(weights).name} is taken to be trained on ImageNet")


def _depth(weights: str, depth: object) -> int:
    """The depth of weights' net; refused if it is none of the ResNets that the written config can have."""
    if depth not in BLOCKS:
        raise UserError(
            f"{weights}: its net is no ResNet of {', '.join(map(str, BLOCKS))} layers, as a written config has; write "
            "one for it (docs/OWN_DATA.md)"
        )
    return int(str(depth))


def _fraction(path: str | Path, table: AnnotationTable) -> float:
    """The part of the images for training: `FRACTION`, or less where so few images would leave none to test."""
    for fraction in (FRACTION, 0.75, 0.67, 0.5):
        if all(len(part) for part in stratified_split(table, fraction)):
            return fraction
    raise UserError(f"{path}: {len(table)} image cannot be divided for training and test; annotate more")


def _why_none(difficult: int, crowds: int) -> str:
    if difficult:
        return f"{difficult} are marked difficult; clear the flag <difficult> of those that can be learned"
    if crowds:
        return f"{crowds} are crowds; correct 'iscrowd' of those that are single objects"
    return "none is annotated, or none has an area in its image; annotate some (resdet inspect-data lists why)"


def _sets_in_words(train: Source, test: Source | None, fraction: float, difficult: bool) -> dict[str, str]:
    """The config's data sets as Python, and the imports of their classes; `difficult`: the training set has such."""
    imports = {f"from {train.kind.__module__} import {train.kind.__name__}"}
    easy = "keep_difficult=False" if difficult else ""
    if test is not None:
        return {"imports": "\n".join(imports), "whole": "", "train": _in_words(train, easy), "test": _in_words(test)}
    imports.add("from resdet.data.detection.splitting import SplitPart")
    photos = {"train": f"dict(PHOTOS, {easy})" if easy else "PHOTOS", "test": "PHOTOS"}
    parts = {
        name: f'dict(type=SplitPart, dataset={photos[name]}, part="{name}", fraction={fraction}, seed=0)'
        for name in ("train", "test")
    }
    return {"imports": "\n".join(sorted(imports)), "whole": f"PHOTOS = {_in_words(train)}\n", **parts}


def _in_words(source: Source, more: str = "") -> str:
    values = ", ".join(f"{key}={value!r}" for key, value in source.values.items() if key != "root")
    return f"dict(type={source.kind.__name__}, root=ROOT, {values}, classes=CLASSES{more and ', '}{more})"


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
        "size_why": f"Short side {short}: the smallest of {', '.join(str(s) for s, _ in SIZES)} at which nine of ten "
        f"objects are larger than {SMALLEST} pixels, else the largest",
        "steps_why": f"{steps} steps of {IMAGES} images are {steps * IMAGES / images:.0f} epochs",
    }
