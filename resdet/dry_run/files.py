"""Data sets of noise pictures in the published layouts, for a dry run of any config.

    cfg = load_config("voc07_r50")
    generate(cfg, Path("made"))      # writes made/VOCdevkit/VOC2007/... and sets cfg.data.train.root

`data.train` and `data.test` may be VOC, COCO, ImageNet CLS-LOC (with boxes) and DET, folders of classes, YOLO's txt,
CIFAR-10 and the embedded sets; each is written as its reader expects. In every detection set each class has an object,
and one image has none. The same config gives the same files.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from resdet.data.classification.cifar import Cifar10
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.imagenet_det import ImageNetDETDataset
from resdet.data.detection.splitting import SplitPart
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.yolo import YOLODataset
from resdet.data.embedded.detection import ShapeCrops, ShapesDataset
from resdet.data.embedded.localization import ShapesLocalization
from resdet.data.localization.dataset import LocalizationDataset
from resdet.dry_run.classification_files import write_cifar10, write_classes, write_imagenet
from resdet.dry_run.detection_files import det_changes, write_coco, write_det, write_voc, write_yolo
from resdet.dry_run.pictures import IMAGES, Numbers
from resdet.dry_run.writing import with_folder
from resdet.errors import UserError

_MARK = "written_by_a_dry_run"

Node = dict[str, Any]  # a data set's section of the config: its type and arguments


def generate(cfg: dict[str, Any], root: Path, write: bool = True) -> None:
    """Write the data sets of `cfg.data` below `root`, and point the config at them, in place.

    Args:
        cfg: a config with `model` or `net`, `data.train` and `data.test`; SplitPart and Repeated may wrap these.
        root: a folder that is missing, empty, or of generated data, which is replaced.
        write: False only changes the config, for processes other than the one that writes.

    Raises:
        UserError: `root` has other files, there is no writer for a data set's type, or its arguments do not fit its
            type.
    """
    num_classes, numbers = _num_classes(cfg), Numbers()
    layouts = [_layout(node) for node in data_sets(cfg)]
    if write:
        _claim(root)
    for key in ("train", "test"):
        _halve(cfg["data"].get(key) or {})
    for node, layout in zip(data_sets(cfg), layouts, strict=True):
        node.update(layout.changes(node), root=str(root / layout.folder))
        if write:
            layout.write(root / layout.folder, node, num_classes, numbers)


def data_sets(cfg: dict[str, Any]) -> list[Node]:
    """The sections of the config's data sets; for SplitPart and Repeated those of the data sets inside them."""
    return [_innermost(cfg["data"][key]) for key in ("train", "test") if cfg["data"].get(key)]


def is_generated(root: Path) -> bool:
    """Whether `generate` wrote this folder."""
    return (root / _MARK).is_file()


def _drawn_when_read(root: Path, node: Node, num_classes: int, numbers: Numbers) -> None:
    """Write nothing: the embedded sets are drawn when they are read."""


class _Layout(NamedTuple):
    folder: str  # below the root
    write: Callable[[Path, Node, int, Numbers], None]
    changes: Callable[[Node], Node] = lambda node: {}  # to the config, besides the root


_FOLDERS_OF_CLASSES = _Layout("classes", write_classes)
_LAYOUTS = {
    VOCDataset: _Layout("VOCdevkit", write_voc),
    COCODataset: _Layout("coco", write_coco),
    ImageNetDETDataset: _Layout("imagenet", write_det, det_changes),
    YOLODataset: _Layout("yolo", write_yolo),
    ImageNetDataset: _Layout("imagenet", write_imagenet),
    LocalizationDataset: _Layout("imagenet", write_imagenet, lambda node: {"boxes_from": "csv"}),
    Cifar10: _Layout("cifar10", write_cifar10, lambda node: {"download": False}),
    ShapesDataset: _Layout("shapes", _drawn_when_read, lambda node: {"train": 8, "test": IMAGES}),
    ShapeCrops: _Layout("shape_crops", _drawn_when_read, lambda node: {"train": 16, "val": 8}),
    ShapesLocalization: _Layout("shapes_loc", _drawn_when_read, lambda node: {"train": 16, "val": 8}),
}


def _layout(node: Node) -> _Layout:
    """A data set's layout; an ImageNetDataset is CLS-LOC if its root is named imagenet, else folders of classes."""
    kind = node["type"]
    if kind not in _LAYOUTS:
        known = ", ".join(known.__name__ for known in _LAYOUTS)
        raise UserError(f"a dry run cannot write data for {kind.__name__}; take one of {known}")
    try:
        inspect.signature(kind).bind(**{key: value for key, value in node.items() if key != "type"})
    except TypeError as error:
        raise UserError(f"config: {kind.__name__} cannot be called with these values: {error}") from error
    if kind is ImageNetDataset and "imagenet" not in Path(node["root"]).name.lower():
        return _FOLDERS_OF_CLASSES
    return _LAYOUTS[kind]


def _innermost(node: Node) -> Node:
    return _innermost(node["dataset"]) if "dataset" in node else node


def _halve(node: Node) -> None:
    """Split in halves, in place: of so few images a smaller part might have no object."""
    while "dataset" in node:
        if node["type"] is SplitPart:
            node["fraction"] = 0.5
        node = node["dataset"]


def _num_classes(cfg: dict[str, Any]) -> int:
    name = "model" if cfg.get("model") else "net"
    parameters = inspect.signature(cfg[name]["type"]).parameters
    default = parameters["num_classes"].default if "num_classes" in parameters else None
    count = cfg[name].get("num_classes", default)
    if not isinstance(count, int):
        raise UserError(f"config: {name}.num_classes is {count}: set it to the number of classes")
    return count


def _claim(root: Path) -> None:
    """Make an empty folder marked as generated; a folder with other files is refused."""
    if root.is_symlink() or root.is_file() or (root.is_dir() and any(root.iterdir()) and not is_generated(root)):
        raise UserError(f"{root} was not written by a dry run, which would replace it; choose another --work-dir")
    if root.is_dir():
        shutil.rmtree(root)
    with_folder(root / _MARK).write_text("noise; remove this folder when you like\n")
