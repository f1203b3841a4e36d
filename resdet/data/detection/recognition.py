"""Recognize the format of a data set by the layout of its files, and open it.

    found = recognize("data/export")               # found.what: "YOLO as Roboflow exports it"
    found.sets                                     # {"train": Source(YOLODataset, {...}), "valid": ...}
    dataset = open_dataset("data/export")          # its training set, or the only set; says what it took it for

VOC, COCO and YOLO are recognized in their own layouts and in those of Roboflow, CVAT, Label Studio and labelImg.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.folder_content import has_file, has_images, more_xml_than_txt
from resdet.data.detection.unrecognized import EXPECTED, first_images, no_images, why_not
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.voc_files import EVERY, OTHER_ANNOTATIONS
from resdet.data.detection.yolo import YOLODataset
from resdet.data.detection.yolo_names import LISTS, SETTINGS, names_file, read_settings, settings_file
from resdet.data.image_files import find_folders, is_hidden, resolve_image
from resdet.data.text_files import is_file, is_folder
from resdet.errors import UserError, did_you_mean

TRAIN, VAL = ("train", "trainval", "training"), ("valid", "val", "validation", "dev", "eval")
TEST = ("test", "testing")
_ALL = "all"  # the name of a set that is not divided
_COCO_KEYS = ('"images"', '"annotations"', '"categories"')
_HEAD = 1_000_000  # characters of a JSON file that are looked at
ANNOTATION_FOLDERS = ("Annotations", *OTHER_ANNOTATIONS)
_DEEPEST = 3  # folders around a data set that unpacking leaves

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class Source:
    """One image set: a class of data sets and its arguments."""

    kind: type[DetectionDataset]
    values: dict[str, Any]

    def open(self, **more: Any) -> DetectionDataset:
        """Read it, with further arguments."""
        return self.kind(**self.values, **more)


@dataclass(frozen=True)
class Recognized:
    """What a folder was taken for."""

    what: str  # for people: "VOC as CVAT exports it"
    root: Path
    sets: dict[str, Source] = field(default_factory=dict)  # by name, in the order of the layout

    def named(self, names: tuple[str, ...]) -> str | None:
        """The first set with one of these names, or one with a year: "train2017"."""
        return next((name for name in self.sets if re.sub(r"[\W\d_]+$", "", name.lower()) in names), None)


def choose_sets(found: Recognized) -> tuple[Source, Source | None]:
    """The training set, and the set to test on: validation before test; None where nothing is divided."""
    if "trainval" in found.sets and found.named(TEST):
        return found.sets["trainval"], found.sets[str(found.named(TEST))]
    train, test = found.named(TRAIN), found.named(VAL) or found.named(TEST)
    if train is None or test is None:
        return found.sets[train or next(iter(found.sets))], None
    return found.sets[train], found.sets[test]


def open_dataset(path: str | Path, image_set: str | None = None) -> DetectionDataset:
    """Open a data set whose format is recognized by the layout of its files; the logger "resdet" says what it is.

    Args:
        path: the folder; or a file of COCO instances, or a data.yaml of YOLO's.
        image_set: the name of one of its sets; None takes the training set, or the only one.

    Raises:
        UserError: nothing is recognized, there is no such set, or the reader refuses it.
    """
    found = recognize(path)
    name = image_set or found.named(TRAIN) or next(iter(found.sets))
    if name not in found.sets:
        hint = did_you_mean(name, found.sets)
        raise UserError(f"{path}: is {found.what} and has no set {name!r}{hint}; it has {', '.join(found.sets)}")
    dataset = found.sets[name].open(**({"classes": None} if found.sets[name].kind is VOCDataset else {}))
    logger.info(
        "%s: %s, set %s of %s: %d images, classes %s",
        *(path, found.what, name, ", ".join(found.sets), len(dataset), ", ".join(dataset.classes)),
    )
    return dataset


def recognize(path: str | Path) -> Recognized:
    """Recognize the format of a data set by the layout of its files. No annotation but the first is read.

    Args:
        path: see `open_dataset`.

    Raises:
        UserError: there is no such folder or file, it is an archive, or nothing is recognized.
    """
    path = Path(path)
    if is_file(path):
        return _recognize_file(path)
    if not is_folder(path):
        raise UserError(f"{path}: no such folder; give the folder of the data set")
    root = path
    for _ in range(_DEEPEST):
        for look in (_voc_devkit, _voc_folders, _coco, _yolo, _voc_beside):
            found = look(root)
            if found is not None and found.sets:
                return found
        inside = find_folders(root)
        if len(inside) != 1 or has_images(root):
            break
        root = inside[0]  # what unpacking an archive leaves
    raise UserError(f"{path}: no data set is recognized: {why_not(path) or why_not(root) or EXPECTED}")


def _recognize_file(path: Path) -> Recognized:
    if path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"):
        raise UserError(f"{path}: is an archive; unpack it and give the folder")
    if path.suffix.lower() == ".json" and _is_coco(path):
        roots = [path.parent, *([path.parent.parent] if path.parent.name == "annotations" else [])]
        for root in roots:
            source = _coco_source(root, path)
            if source is not None:
                return Recognized("a file of COCO instances", root, {_ALL: source})
        raise UserError(no_images(path))
    if path.name in (*SETTINGS, *LISTS):
        found = _yolo(path.parent)
        if found is not None:
            return found
    raise UserError(f"{path}: is not a file of COCO instances with its images nearby; give the folder of the data set")


def _voc_devkit(root: Path) -> Recognized | None:
    sets: dict[str, list[tuple[str, str]]] = {}
    for folder in find_folders(root):
        if folder.name.startswith("VOC") and is_folder(folder / "Annotations"):
            year = folder.name.removeprefix("VOC")
            for image_set in _voc_lists(folder):
                sets.setdefault(image_set if image_set != EVERY else _ALL, []).append((year, image_set))
    return Recognized("PASCAL VOC", root, {name: _voc_source(root, splits) for name, splits in sets.items()})


def _voc_folders(root: Path) -> Recognized | None:
    """Annotations/ and images in the root itself, with lists as CVAT writes them, or without."""
    if not is_folder(root / "Annotations"):
        return None
    lists = _voc_lists(root)
    images = "JPEGImages" if is_folder(root / "JPEGImages") else "images"
    what = "VOC as Label Studio exports it" if images == "images" else "VOC in one folder"
    if lists != [EVERY]:
        what = "VOC as CVAT exports it"
    names = {_ALL if name in (EVERY, "default") else name: name for name in lists}
    return Recognized(what, root, {name: _voc_source(root, [("", split)]) for name, split in names.items()})


def _voc_beside(root: Path) -> Recognized | None:
    """Xml files beside their images, or in a folder next to them: Roboflow, labelImg."""
    sets = {
        folder.name: _voc_source(root, [(folder.name, EVERY)])
        for folder in find_folders(root)
        if folder.name.lower() in (*TRAIN, *VAL, *TEST)
        and (has_file(folder, ".xml") or any(has_file(folder / name, ".xml") for name in ANNOTATION_FOLDERS))
    }
    if sets:
        return Recognized("VOC as Roboflow exports it", root, sets)
    if has_file(root, ".xml") or any(any((root / name).rglob("*.[xX][mM][lL]")) for name in ANNOTATION_FOLDERS):
        return Recognized("VOC without lists, as labelImg writes it", root, {_ALL: _voc_source(root, [("", EVERY)])})
    return None


def _voc_source(root: Path, splits: list[tuple[str, str]]) -> Source:
    return Source(VOCDataset, {"root": str(root), "splits": splits})


def _voc_lists(folder: Path) -> list[str]:
    """The image sets of a VOC folder without the lists of single classes; `EVERY` if there is no list."""
    names = sorted(
        path.stem for path in (folder / "ImageSets" / "Main").glob("*.txt") if not is_hidden(Path(path.name))
    )
    parts = (*names, *TRAIN, *VAL, *TEST)  # VoTT writes cat_train.txt, and no list of all
    whole = [name for name in names if "_" not in name or name.rpartition("_")[2] not in parts]
    return whole or [EVERY]


def _yolo(root: Path) -> Recognized | None:
    source = names_file(root)
    if source is None or more_xml_than_txt(root):  # labelImg leaves its classes.txt to those who go over to VOC
        return None
    by_set = [f.name for f in find_folders(root) if is_folder(f / "images") and f.name != "images"]
    if by_set:
        return _yolo_sets("YOLO as Roboflow exports it", root, by_set)
    if is_folder(root / "images"):
        inside = [f.name for f in find_folders(root / "images") if not has_images(root / "images")]
        what = "YOLO as Label Studio exports it" if is_file(root / "notes.json") else "YOLO"
        return _yolo_sets(what, root, inside or ["."])
    lists = [f"{name}.txt" for name in ("train", "valid", "val", "test") if is_file(root / f"{name}.txt")]
    if lists:
        return _yolo_sets("YOLO as CVAT exports it (Darknet)", root, lists)
    if source.name in LISTS and has_images(root):
        return _yolo_sets("YOLO with the txt files beside the images", root, ["."])
    return None


def _yolo_sets(what: str, root: Path, image_sets: list[str]) -> Recognized:
    named: dict[str, str | list[str]] = dict(_roles(root, image_sets))
    used = {name for value in named.values() for name in ([value] if isinstance(value, str) else value)}
    for name in image_sets:
        own = _ALL if name == "." else name.removesuffix(".txt")
        if name not in used:
            named[own if own not in named else f"{own} (folder)"] = name
    sets = {name: Source(YOLODataset, {"root": str(root), "image_sets": value}) for name, value in named.items()}
    return Recognized(what, root, sets)


def _roles(root: Path, image_sets: list[str]) -> dict[str, str | list[str]]:
    """What data.yaml says to train, validate and test on, where the names of the sets do not say the same.

    Its paths are written for other folders ("../train/images"): a set is known by its folder in them. One set in two
    roles, as in ultralytics' coco128, is not followed: it would be tested on what it was trained on.
    """
    file = settings_file(root)
    if file is None:
        return {}
    try:
        settings = read_settings(file)
    except UserError:  # raised again where the names are read from it
        return {}
    found: dict[str, list[str]] = {}
    for role in ("train", "val", "test"):
        value = settings.get(role)
        listed = value if isinstance(value, list) else [value]
        paths = [PurePath(path.replace("\\", "/")).parts for path in listed if isinstance(path, str)]
        found[role] = [name for parts in paths for name in image_sets if name in parts]
    used = [name for names in found.values() for name in names]
    if len(set(used)) < len(used):
        return {}
    found = {role: names for role, names in found.items() if names and not _says(role, names)}
    return {role: names[0] if len(names) == 1 else names for role, names in found.items()}


def _says(role: str, names: list[str]) -> bool:
    """Whether a set's own name gives it the role that data.yaml does."""
    own = Recognized("", Path(), {name.removesuffix(".txt"): Source(YOLODataset, {}) for name in names})
    return len(names) == 1 and own.named({"train": TRAIN, "val": VAL, "test": TEST}[role]) is not None


def _coco(root: Path) -> Recognized | None:
    roboflow = {f.name: f / "_annotations.coco.json" for f in find_folders(root)}
    roboflow = {name: file for name, file in roboflow.items() if is_file(file)}
    if roboflow:
        return _coco_sets("COCO as Roboflow exports it", root, roboflow)
    if is_file(root / "result.json") and _is_coco(root / "result.json"):
        return _coco_sets("COCO as Label Studio exports it", root, {_ALL: root / "result.json"})
    files = [
        file for folder in (root, root / "annotations") for file in sorted(folder.glob("*.json")) if _is_coco(file)
    ]
    instances = [file for file in files if file.stem.startswith("instances")]
    files = instances or files  # beside them COCO has keypoints and captions of the same images
    what = "COCO"
    if [file.name for file in files] == ["instances_default.json"]:
        return _coco_sets("COCO as CVAT exports it", root, {_ALL: files[0]})
    return _coco_sets(what, root, {file.stem.removeprefix("instances_"): file for file in files})


def _coco_sets(what: str, root: Path, files: dict[str, Path]) -> Recognized:
    """The sets whose files list images that are there; the others are told."""
    sets, left_out = {}, []
    for name, file in files.items():
        source = _coco_source(root, file)
        if source is None:
            left_out.append(file)
        else:
            sets[name] = source
    if files and not sets:
        raise UserError(no_images(left_out[0]))
    for file in left_out:
        logger.warning("%s; this set is left out", no_images(file))
    return Recognized(what, root, sets)


def _coco_source(root: Path, file: Path) -> Source | None:
    """The set of a file, with the folder in which most of its first images lie; None if they are nowhere."""
    names = first_images(file)
    split = file.stem.removeprefix("instances_")
    near = [file.parent, root / split, root / "images" / split, root / "images", root, file.parent / "images"]
    best, most = None, 0
    for folder in [*near, *find_folders(root), *find_folders(root / "images")]:
        found = sum(_is_there(folder, name) for name in names) if is_folder(folder) else 0
        if found > most:
            best, most = folder, found
    if best is None:
        return None
    pair = (best.relative_to(root).as_posix(), file.relative_to(root).as_posix())
    return Source(COCODataset, {"root": str(root), "splits": [pair]})


def _is_there(folder: Path, name: str) -> bool:
    try:
        return is_file(resolve_image(folder, name, ""))
    except UserError:
        return False


def _is_coco(path: Path) -> bool:
    """Whether a JSON file begins like COCO instances; large ones may have their categories after the first million."""
    try:
        with path.open("rb") as file:
            utf16 = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        with path.open(encoding="utf-16" if utf16 else "utf-8-sig", errors="replace") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    found = [key in head for key in _COCO_KEYS]
    return all(found) or (len(head) == _HEAD and found[0])
