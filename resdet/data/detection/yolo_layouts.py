"""The layouts in which YOLO's txt files are found: Roboflow's, Label Studio's, CVAT's, or beside their images."""

from __future__ import annotations

from pathlib import Path, PurePath

from resdet.data.detection.folder_content import has_images, more_xml_than_txt
from resdet.data.detection.recognized import ALL, Recognized, Source, role_of
from resdet.data.detection.yolo import YOLODataset
from resdet.data.detection.yolo_files import lists_images
from resdet.data.detection.yolo_folders import (
    IMAGES,
    LISTS,
    sets_beside_folders_of_labels,
    sets_beside_labels,
    sets_inside,
    sets_with_images,
)
from resdet.data.detection.yolo_names import names_file, read_settings, settings_file
from resdet.data.image_files import find_folders, folder_named
from resdet.data.text_files import is_file, is_folder
from resdet.errors import UserError

_ALL_IMAGES = "images.txt"  # FiftyOne's list
_LISTS = ("train.txt", "valid.txt", "val.txt", "test.txt")


def yolo_layout(root: Path) -> Recognized | None:
    """YOLO's txt files in a folder that names their classes; None if there are none."""
    source = names_file(root)
    if source is None or more_xml_than_txt(root):  # labelImg leaves its classes.txt to those who go over to VOC
        return None
    named = _lists_named(root)
    if named:
        return _yolo_sets("YOLO with lists of images", root, named)
    by_set, images = sets_with_images(root), folder_named(root, IMAGES)
    if by_set:
        return _yolo_sets("YOLO as Roboflow exports it", root, by_set)
    lists = [name for name in _LISTS if is_file(root / name)]
    if is_folder(images):
        inside = [f.name for f in find_folders(images) if not has_images(images)]
        what = "YOLO as Label Studio exports it" if is_file(root / "notes.json") else "YOLO"
        divided = [] if inside else [name for name in lists if lists_images(root, name)]
        if not inside and not divided:
            sets_inside(images)  # refused beside images of no set
        return _yolo_sets(what, root, inside or divided or ["."])
    paired = sets_beside_folders_of_labels(root)
    if paired:
        return _yolo_sets("YOLO with folders of images and labels", root, paired)
    if lists or lists_images(root, _ALL_IMAGES):
        return _yolo_sets("YOLO as CVAT exports it (Darknet)", root, lists or [_ALL_IMAGES])
    beside = sets_beside_labels(root)
    if beside:
        return _yolo_sets("YOLO with the txt files beside the images", root, beside)
    if source.name in LISTS and has_images(root):
        return _yolo_sets("YOLO with the txt files beside the images", root, ["."])
    return None


def _yolo_sets(what: str, root: Path, image_sets: list[str]) -> Recognized:
    named: dict[str, str | list[str]] = dict(_roles(root, image_sets))
    used = {name for value in named.values() for name in ([value] if isinstance(value, str) else value)}
    for name in image_sets:
        own = ALL if name == "." else _plain(name)
        if name not in used:
            named[own if own not in named else f"{own} (folder)"] = name
    sets = {name: Source(YOLODataset, {"root": str(root), "image_sets": value}) for name, value in named.items()}
    return Recognized(what, root, sets)


def _roles(root: Path, image_sets: list[str]) -> dict[str, str | list[str]]:
    """What data.yaml says to train, validate and test on, where the names of the sets do not say the same.

    Its paths are written for other folders ("../train/images"): a set is known by its folder in them. One set in two
    roles, as in ultralytics' coco128, is not followed: it would be tested on what it was trained on.
    """
    found: dict[str, list[str]] = {}
    for role, paths in _paths_by_role(root).items():
        found[role] = [name for path in paths if (name := _set_of(path, image_sets))]
    used = [name for names in found.values() for name in names]
    if len(set(used)) < len(used):
        return {}
    found = {role: names for role, names in found.items() if names and [role_of(_plain(n)) for n in names] != [role]}
    return {role: names[0] if len(names) == 1 else names for role, names in found.items()}


def _set_of(path: PurePath, image_sets: list[str]) -> str | None:
    """The set of a path in data.yaml: "train" of "../train/images" and "images/train"; None if it is no set."""
    *_, folder, last = ("", *path.parts)
    if last.lower() == IMAGES and folder in image_sets:  # a set may be called images, too
        return folder
    return next((part for part in reversed(path.parts) if part in image_sets), None)


def _lists_named(root: Path) -> list[str]:
    """The lists of images in the root that data.yaml names."""
    names = [path.name for paths in _paths_by_role(root).values() for path in paths if path.suffix == ".txt"]
    return [name for name in dict.fromkeys(names) if lists_images(root, name)]


def _paths_by_role(root: Path) -> dict[str, list[PurePath]]:
    """The paths that data.yaml names to train, validate and test on."""
    file = settings_file(root)
    try:
        settings = {} if file is None else read_settings(file)
    except UserError:  # raised again where the names are read from it
        settings = {}
    found: dict[str, list[PurePath]] = {}
    for role in ("train", "val", "test"):
        value = settings.get(role)
        listed = value if isinstance(value, list) else [value]
        found[role] = [PurePath(path.replace("\\", "/")) for path in listed if isinstance(path, str)]
    return found


def _plain(image_set: str) -> str:
    """The name of an image set without the folders before it and the suffix of a list; of train/img, "train"."""
    path = PurePath(image_set.removesuffix(".txt"))
    return path.parent.name if path.name.lower() in ("img", "imgs", "image") and path.parent.name else path.name
