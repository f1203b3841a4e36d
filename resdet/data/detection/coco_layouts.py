"""The layouts in which COCO's instances are found: its own, Roboflow's, Label Studio's, CVAT's."""

from __future__ import annotations

import logging
from pathlib import Path

from resdet.data.detection.coco import COCODataset
from resdet.data.detection.folder_content import json_files
from resdet.data.detection.recognized import ALL, Recognized, Source, divided_folders
from resdet.data.detection.unrecognized import first_images, no_images
from resdet.data.image_files import find_folders, folder_named, resolve_image
from resdet.data.text_files import is_file, is_folder
from resdet.errors import UserError

_COCO_KEYS = ('"images"', '"annotations"', '"categories"')
_HEAD = 1_000_000  # characters of a JSON file that are looked at
_MOST_FILES = 20  # JSON files of a folder of images that are looked at; more are annotations of single images

logger = logging.getLogger("resdet")


def coco_layout(root: Path) -> Recognized | None:
    """COCO's instances in a folder; None if there are none."""
    roboflow = {f.name: f / "_annotations.coco.json" for f in find_folders(root)}
    roboflow = {name: file for name, file in roboflow.items() if is_file(file)}
    if roboflow:
        return _coco_sets("COCO as Roboflow exports it", root, roboflow)
    if is_file(root / "result.json") and is_coco(root / "result.json"):
        return _coco_sets("COCO as Label Studio exports it", root, {ALL: root / "result.json"})
    annotations = folder_named(root, "annotations")
    files = [file for folder in (root, annotations) for file in json_files(folder) if is_coco(file)]
    if not files:
        by_folder = {folder: file for folder in find_folders(root) if (file := _only_file(folder))}
        divided = {folder.name: by_folder[folder] for folder in divided_folders(list(by_folder))}
        return _coco_sets("COCO with a file per folder", root, divided)
    instances = [file for file in files if file.stem.startswith("instances")]
    files = instances or files  # beside them COCO has keypoints and captions of the same images
    what = "COCO"
    if [file.name for file in files] == ["instances_default.json"]:
        return _coco_sets("COCO as CVAT exports it", root, {ALL: files[0]})
    return _coco_sets(what, root, {file.stem.removeprefix("instances_"): file for file in files})


def _only_file(folder: Path) -> Path | None:
    """The one file of COCO instances in a folder; None if there is none, or there are several."""
    files = json_files(folder)
    found = [file for file in files if is_coco(file)] if len(files) <= _MOST_FILES else []
    return found[0] if len(found) == 1 else None


def _coco_sets(what: str, root: Path, files: dict[str, Path]) -> Recognized:
    """The sets whose files list images that are there; the others are told."""
    sets, left_out = {}, []
    for name, file in files.items():
        source = coco_source(root, file)
        if source is None:
            left_out.append(file)
        else:
            sets[name] = source
    if files and not sets:
        raise UserError(no_images(left_out[0]))
    for file in left_out:
        logger.warning("%s; this set is left out", no_images(file))
    return Recognized(what, root, sets)


def coco_source(root: Path, file: Path) -> Source | None:
    """The set of a file, with the folder in which most of its first images lie; None if they are nowhere."""
    names = first_images(file)
    split = file.stem.removeprefix("instances_")
    images, beside = folder_named(root, "images"), folder_named(file.parent, "images")
    near = [file.parent, root / split, images / split, images, root, beside]
    best, most = None, 0
    for folder in [*near, *find_folders(root), *find_folders(images)]:
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


def is_coco(path: Path) -> bool:
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
