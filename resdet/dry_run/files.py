"""A few noise pictures with objects, in the published layouts of the real data sets: what a dry run reads.

    cfg = load_config("voc07_r50")
    generate(cfg, Path("made"))      # writes made/VOCdevkit/VOC2007/... and sets cfg.data.train.root

Whatever `data.train` and `data.test` of a config name is written: VOC, COCO, ImageNet CLS-LOC (with boxes) and DET,
folders of classes, YOLO's txt, CIFAR-10 and the embedded sets, each by its own reader's rules. Every class has an
object in every detection set; one image of each has none. The same config gives the same files.
"""

from __future__ import annotations

import inspect
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from resdet.data.classification.cifar import BATCH, BINARY, PIXELS, Cifar10, ImageSet
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.annotations import Annotation
from resdet.data.detection.coco import COCO_CLASSES, COCODataset
from resdet.data.detection.imagenet_det import ImageNetDETDataset
from resdet.data.detection.voc import VOC_CLASSES, VOCDataset, write_annotation
from resdet.data.detection.yolo import YOLODataset
from resdet.data.embedded.detection import ShapeCrops, ShapesDataset
from resdet.data.embedded.localization import ShapesLocalization
from resdet.data.localization.dataset import LocalizationDataset
from resdet.errors import UserError

IMAGES = 6  # in a set
LANDSCAPE, PORTRAIT = (72, 96), (96, 72)  # (height, width)
COCO_HOLES = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # ids below 91 that no category has
NUMBERS_OF_A_SET = 10_000  # the images of different sets have different numbers
_MARK = "written_by_a_dry_run"

Node = dict[str, Any]  # of a config: a data set's type and its arguments


def generate(cfg: dict[str, Any], root: Path, write: bool = True) -> None:
    """Write the data sets of `cfg.data` below `root`, and let the config, in place, read them from there.

    Args:
        cfg: a config with `data.train` and `data.test`, also inside SplitPart or Repeated, and with `model` or `net`.
        root: a folder of generated data, which is written anew, or one that is empty or absent.
        write: False changes the config alone, where another process writes.

    Raises:
        UserError: `root` holds something else, nothing can be written for the type of a data set, or its arguments are
            not that type's.
    """
    num_classes, numbers = _num_classes(cfg), _Numbers()
    layouts = [_layout(node) for node in data_sets(cfg)]
    if write:
        _claim(root)
    for node, layout in zip(data_sets(cfg), layouts, strict=True):
        node.update(layout.changes(node), root=str(root / layout.folder))
        if write:
            layout.write(root / layout.folder, node, num_classes, numbers)


def data_sets(cfg: dict[str, Any]) -> list[Node]:
    """The config's data sets that read files, those inside SplitPart and Repeated too."""
    return [_innermost(cfg["data"][key]) for key in ("train", "test") if cfg["data"].get(key)]


def is_generated(root: Path) -> bool:
    """Whether `generate` wrote this folder."""
    return (root / _MARK).is_file()


class FewOfCifar10(Cifar10):
    """The first `images` of a set of CIFAR-10, whose files hold 10,000 each."""

    def __init__(self, root: str | Path, image_set: ImageSet, images: int, download: bool = False) -> None:
        super().__init__(root, image_set, download)
        self.images, self.labels = self.images[:images].clone(), self.labels[:images].clone()


# --- pictures ---------------------------------------------------------------------------------------------------------


@dataclass
class _Picture:
    """An image with G objects; their places are brighter than the rest."""

    number: int
    pixels: np.ndarray  # uint8 [H, W, 3]
    boxes: np.ndarray  # int64 [G, 4], continuous
    labels: np.ndarray  # int64 [G]
    flagged: np.ndarray  # bool [G]: difficult in VOC, a crowd in COCO

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def annotation(self, image: Path, offset: int = 0) -> Annotation:
        """For VOC's writer; offset: added to the boxes, for files that do not count from 1 as VOC's."""
        return Annotation(str(image), image.stem, self.size, self.boxes + offset, self.labels, self.flagged)


class _Numbers:
    """The number of each set's first image: that of no other set, and the same again when a set is written twice."""

    def __init__(self) -> None:
        self._firsts: dict[str, int] = {}

    def first(self, name: str) -> int:
        return self._firsts.setdefault(name, 1 + NUMBERS_OF_A_SET * len(self._firsts))


def _pictures(first: int, num_classes: int) -> Iterator[_Picture]:
    """IMAGES pictures, numbered from `first`, with all classes; the last one is empty, one object is flagged."""
    for index in range(IMAGES):
        labels = [k for k in range(num_classes) if k % (IMAGES - 1) == index] or [index % num_classes]
        if index == IMAGES - 1:
            labels = []
        flagged = np.zeros(len(labels) + (index == 0), bool)
        if index == 0:
            labels, flagged[-1] = [*labels, labels[0]], True
        random = np.random.default_rng(first + index)
        height, width = PORTRAIT if index % 3 == 2 else LANDSCAPE
        boxes = _boxes(random, len(labels), height, width)
        yield _Picture(first + index, _noise(random, height, width, boxes), boxes, np.array(labels, np.int64), flagged)


def _boxes(random: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """int64 [count, 4]: one in each of the first cells of a grid, that hardly overlap."""
    cells = max(1, math.ceil(math.sqrt(count)))
    row, column = np.divmod(np.arange(count), cells)
    cell = np.array([width // cells, height // cells])
    corner = np.stack([column, row], 1) * cell + random.integers(0, cell // 4 + 1, (count, 2))
    side = random.integers(cell // 2, cell * 3 // 4 + 1, (count, 2))
    return np.concatenate([corner, corner + side], 1)


def _noise(
    random: np.random.Generator, height: int, width: int, boxes: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    pixels = random.integers(0, 128, (height, width, 3)).astype(np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] += 100
    return pixels


# --- detection --------------------------------------------------------------------------------------------------------


def _write_voc(root: Path, node: Node, num_classes: int, numbers: _Numbers) -> None:
    names = node.get("classes", VOC_CLASSES) or _names(num_classes)
    for year, image_set in node["splits"]:
        folder, ids = _below(root, f"VOC{year}"), []
        for picture in _pictures(numbers.first(f"VOC{year} {image_set}"), len(names)):
            ids.append(f"{picture.number:06}" if year == "2007" else f"{year}_{picture.number:06}")
            image = folder / "JPEGImages" / f"{ids[-1]}.jpg"
            _save(image, picture.pixels)
            if node.get("annotated", True):
                xml = _folder_of(folder / "Annotations" / f"{ids[-1]}.xml")
                write_annotation(xml, picture.annotation(image), names)
        _write_lines(_below(folder, "ImageSets", "Main", f"{image_set}.txt"), ids)


def _write_coco(root: Path, node: Node, num_classes: int, numbers: _Numbers) -> None:
    categories = _categories(node.get("classes"), num_classes)
    for split in node["splits"]:
        folder, file = (split, f"annotations/instances_{split}.json") if isinstance(split, str) else split
        prefix = f"COCO_{folder}_" if folder.endswith(("2014", "2015")) else ""
        images: list[Node] = []
        objects: list[Node] = []
        for picture in _pictures(numbers.first(f"COCO {folder} {file}"), len(categories)):
            name, (height, width) = f"{prefix}{picture.number:012}.jpg", picture.size
            _save(_below(root, folder, name), picture.pixels)
            images.append({"id": picture.number, "file_name": name, "height": height, "width": width})
            objects += _coco_objects(picture, [c["id"] for c in categories])
        content: Node = {"info": {"description": "noise, for a dry run"}, "images": images, "categories": categories}
        if node.get("annotated", True):
            content["annotations"] = [{"id": number, **item} for number, item in enumerate(objects, 1)]
        _folder_of(_below(root, file)).write_text(json.dumps(content))


def _coco_objects(picture: _Picture, category_ids: Sequence[int]) -> Iterator[Node]:
    rows = zip(picture.boxes.tolist(), picture.labels.tolist(), picture.flagged.tolist(), strict=True)
    for (x1, y1, x2, y2), label, crowd in rows:
        yield {
            "image_id": picture.number,
            "category_id": category_ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": int(crowd),
            "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
        }


def _categories(classes: Sequence[str] | None, num_classes: int) -> list[Node]:
    """COCO's own, if the config has these or some of them, with their own ids."""
    if (classes is None and num_classes == len(COCO_CLASSES)) or (classes and set(classes) <= set(COCO_CLASSES)):
        ids = [number for number in range(1, 91) if number not in COCO_HOLES]
        return [{"id": number, "name": name} for number, name in zip(ids, COCO_CLASSES, strict=True)]
    return [{"id": number, "name": name} for number, name in enumerate(classes or _names(num_classes), 1)]


def _write_det(root: Path, node: Node, num_classes: int, numbers: _Numbers) -> None:
    wnids = list(node.get("classes") or [f"n{k:08}" for k in range(1, num_classes + 1)])
    _write_lines(root / "map_det.txt", (f"{wnid} {k} class {k}" for k, wnid in enumerate(wnids, 1)))
    for image_set in node["image_sets"]:
        part, lines = next((part for part in ("train", "val", "test") if image_set.startswith(part)), None), []
        if part is None:
            continue  # the reader says why it is none
        for picture in _pictures(numbers.first(f"DET {image_set}"), len(wnids)):
            image_id = f"ILSVRC2012_{part}_{picture.number:08}"
            if part == "train":
                image_id = f"ILSVRC2014_train_{picture.number // 10_000:04}/ILSVRC2014_train_{picture.number:08}"
            lines.append(f"{image_id} {1 if image_set[len(part) :].startswith('_') else picture.number}")
            image = root / "ILSVRC" / "Data" / "DET" / part / f"{image_id}.JPEG"
            _save(image, picture.pixels)
            if node.get("annotated", True):
                xml = _folder_of(root / "ILSVRC" / "Annotations" / "DET" / part / f"{image_id}.xml")
                write_annotation(xml, picture.annotation(image, offset=-1), wnids)  # DET counts from 0
        _write_lines(_below(root, "ILSVRC", "ImageSets", "DET", f"{image_set}.txt"), lines)


def _det_changes(node: Node) -> Node:
    """Lists and exclusions from elsewhere are not read."""
    sets = [Path(name).stem if name.endswith(".txt") else name for name in node["image_sets"]]
    return {"image_sets": sets, "blacklist": None}


def _write_yolo(root: Path, node: Node, num_classes: int, numbers: _Numbers) -> None:
    names = node.get("classes") or _names(num_classes)
    _write_lines(root / "data.yaml", ["names:", *(f"  {k}: {name}" for k, name in enumerate(names))])
    image_sets = [node["image_sets"]] if isinstance(node["image_sets"], str) else node["image_sets"]
    for image_set in image_sets:
        listed = image_set.endswith(".txt")
        folder = Path(image_set).stem if listed else image_set
        paths = []
        for picture in _pictures(numbers.first(f"YOLO {image_set}"), len(names)):
            paths.append(Path("images", folder, f"{picture.number:06}.jpg"))
            _save(_below(root, paths[-1]), picture.pixels)
            _write_lines(_below(root, "labels", folder, f"{picture.number:06}.txt"), _yolo_lines(picture))
        if listed:
            _write_lines(_below(root, image_set), (path.as_posix() for path in paths))


def _yolo_lines(picture: _Picture) -> Iterator[str]:
    height, width = picture.size
    for label, (x1, y1, x2, y2) in zip(picture.labels.tolist(), picture.boxes.tolist(), strict=True):
        center = f"{(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f}"
        yield f"{label} {center} {(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}"


# --- classification ---------------------------------------------------------------------------------------------------


def _write_imagenet(root: Path, node: Node, num_classes: int, numbers: _Numbers) -> None:
    """CLS-LOC: a mapping of all classes, and pictures of some, of one object each; the first of train has no box."""
    image_set, wnids = node["image_set"], [f"n{k:08}" for k in range(1, num_classes + 1)]
    _write_lines(root / "LOC_synset_mapping.txt", (f"{w} class {k}, noise" for k, w in enumerate(wnids, 1)))
    first, lines, answers = numbers.first(f"CLS-LOC {image_set}"), [], []
    for index in range(IMAGES):
        wnid, number = wnids[index * 7 % num_classes], first + index
        stem = f"{wnid}/{wnid}_{number}" if image_set == "train" else f"ILSVRC2012_{image_set}_{number:08}"
        lines.append(f"{stem} {number}")
        random = np.random.default_rng(number)
        height, width = LANDSCAPE
        boxes = _boxes(random, 1, height, width)
        _save(_below(root, "ILSVRC", "Data", "CLS-LOC", image_set, f"{stem}.JPEG"), _noise(random, *LANDSCAPE, boxes))
        x1, y1, x2, y2 = boxes[0].tolist()
        if image_set != "train" or index:
            answers.append(f"{stem.rpartition('/')[2]},{wnid} {x1} {y1} {x2 - 1} {y2 - 1} ")
    lists = root / "ILSVRC" / "ImageSets" / "CLS-LOC"
    _write_lines(_below(lists, "train_cls.txt" if image_set == "train" else f"{image_set}.txt"), lines)
    if image_set != "test":
        _write_lines(root / f"LOC_{image_set}_solution.csv", ["ImageId,PredictionString", *answers])


def _write_classes(root: Path, node: Node, num_classes: int, numbers: _Numbers) -> None:
    """Folders of classes: each must have an image."""
    first = numbers.first(f"classes {node['image_set']}")
    for number, name in enumerate(_names(num_classes), first):
        _save(_below(root, node["image_set"], name, f"{number}.jpg"), _photo(number))


def _write_cifar10(root: Path, node: Node, num_classes: int, numbers: _Numbers) -> None:
    """The binary files in their full length; all but some records, at the start and in the middle, are zeros."""
    names = ["test_batch"] if node["image_set"] == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    for number, name in enumerate(names):
        random = np.random.default_rng(number)
        pixels = random.integers(0, 256, (100, PIXELS)).astype(np.uint8)
        records = np.concatenate([random.integers(0, 10, (100, 1)).astype(np.uint8), pixels], 1).tobytes()
        with _folder_of(root / BINARY / f"{name}.bin").open("wb") as file:
            for start in (0, BATCH // 2):  # val5k begins in the middle of the last file
                file.seek(start * (PIXELS + 1))
                file.write(records)
            file.truncate(BATCH * (PIXELS + 1))  # a hole, which takes no room on most disks


def _photo(number: int) -> np.ndarray:
    return _noise(np.random.default_rng(number), *LANDSCAPE, [])


def _drawn_when_read(root: Path, node: Node, num_classes: int, numbers: _Numbers) -> None:
    """The embedded sets draw themselves."""


# --- layouts ----------------------------------------------------------------------------------------------------------


class _Layout(NamedTuple):
    folder: str  # below the root
    write: Callable[[Path, Node, int, _Numbers], None]
    changes: Callable[[Node], Node] = lambda node: {}  # of the config, besides the root


_FOLDERS_OF_CLASSES = _Layout("classes", _write_classes)
_LAYOUTS = {
    VOCDataset: _Layout("VOCdevkit", _write_voc),
    COCODataset: _Layout("coco", _write_coco),
    ImageNetDETDataset: _Layout("imagenet", _write_det, _det_changes),
    YOLODataset: _Layout("yolo", _write_yolo),
    ImageNetDataset: _Layout("imagenet", _write_imagenet),
    LocalizationDataset: _Layout("imagenet", _write_imagenet, lambda node: {"boxes_from": "csv"}),
    Cifar10: _Layout("cifar10", _write_cifar10, lambda node: {"download": False}),
    ShapesDataset: _Layout("shapes", _drawn_when_read, lambda node: {"train": 8, "test": IMAGES}),
    ShapeCrops: _Layout("shape_crops", _drawn_when_read, lambda node: {"train": 16, "val": 8}),
    ShapesLocalization: _Layout("shapes_loc", _drawn_when_read, lambda node: {"train": 16, "val": 8}),
}


def _layout(node: Node) -> _Layout:
    """The layout of a data set. An ImageNetDataset is CLS-LOC where its root is called so, else folders of classes."""
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


def _num_classes(cfg: dict[str, Any]) -> int:
    name = "model" if cfg.get("model") else "net"
    parameters = inspect.signature(cfg[name]["type"]).parameters
    default = parameters["num_classes"].default if "num_classes" in parameters else None
    count = cfg[name].get("num_classes", default)
    if not isinstance(count, int):
        raise UserError(f"config: {name}.num_classes is {count}: set it to the number of classes")
    return count


def _names(count: int) -> list[str]:
    """Names of classes that a config counts but does not name; their alphabetical order is that of the labels."""
    return [f"class_{k:04}" for k in range(count)]


def _claim(root: Path) -> None:
    """Make an empty folder of generated data; what was not generated stays."""
    if root.is_symlink() or root.is_file() or (root.is_dir() and any(root.iterdir()) and not is_generated(root)):
        raise UserError(f"{root} was not written by a dry run, which would replace it; choose another --work-dir")
    if root.is_dir():
        shutil.rmtree(root)
    _folder_of(root / _MARK).write_text("noise; remove this folder when you like\n")


def _below(root: Path, *parts: str | Path) -> Path:
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"a dry run writes below its own folder alone, not {path}; name files by paths below the root")
    return path


def _folder_of(path: Path) -> Path:
    """The path, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _save(path: Path, pixels: np.ndarray) -> None:
    _folder_of(path).write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    _folder_of(path).write_text("".join(f"{line}\n" for line in lines))
