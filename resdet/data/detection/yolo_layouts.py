"""The layouts in which YOLO's txt files are found: Roboflow's, Label Studio's, CVAT's, or beside their images."""

from __future__ import annotations

from pathlib import Path, PurePath

from resdet.data.detection.folder_content import has_images, more_xml_than_txt
from resdet.data.detection.recognized import ALL, TEST, TRAIN, VAL, Recognized, Source
from resdet.data.detection.yolo import YOLODataset
from resdet.data.detection.yolo_names import LISTS, names_file, read_settings, settings_file
from resdet.data.image_files import find_folders
from resdet.data.text_files import is_file, is_folder
from resdet.errors import UserError


def yolo_layout(root: Path) -> Recognized | None:
    """YOLO's txt files in a folder that names their classes; None if there are none."""
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
        own = ALL if name == "." else name.removesuffix(".txt")
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
