"""Recognize the format of a data set by the layout of its files, and open it.

    found = recognize("data/export")               # found.what: "YOLO as Roboflow exports it"
    found.sets                                     # {"train": Source(YOLODataset, {...}), "valid": ...}
    dataset = open_dataset("data/export")          # its training set, or the only set; says what it took it for

VOC, COCO and YOLO are recognized in their own layouts and in those of Roboflow, CVAT, Label Studio and labelImg.
"""

from __future__ import annotations

import logging
from pathlib import Path

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.coco_layouts import coco_layout, coco_source, is_coco
from resdet.data.detection.folder_content import has_images
from resdet.data.detection.recognized import ALL, Recognized, choose_names, unclear_sets
from resdet.data.detection.unrecognized import EXPECTED, no_images, why_not
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.voc_layouts import voc_beside, voc_devkit, voc_folders
from resdet.data.detection.voc_xml import parse_xml
from resdet.data.detection.yolo_folders import LISTS
from resdet.data.detection.yolo_layouts import yolo_layout
from resdet.data.detection.yolo_names import SETTINGS
from resdet.data.image_files import find_folders
from resdet.data.text_files import is_file, is_folder
from resdet.errors import UserError, did_you_mean

DEEPEST = 3  # folders around a data set that unpacking leaves

logger = logging.getLogger("resdet")


def open_dataset(path: str | Path, image_set: str | None = None) -> DetectionDataset:
    """Open a data set whose format is recognized by the layout of its files; the logger "resdet" says what it is.

    Args:
        path: the folder; or a file of COCO instances, or a data.yaml of YOLO's.
        image_set: the name of one of its sets; None takes the training set, or the only one.

    Raises:
        UserError: nothing is recognized, there is no such set, or the reader refuses it.
    """
    found = recognize(path)
    name = image_set or choose_names(found)[0]
    if name not in found.sets:
        hint = did_you_mean(name, found.sets)
        raise UserError(f"{path}: is {found.what} and has no set {name!r}{hint}; it has {', '.join(found.sets)}")
    unclear = None if image_set else unclear_sets(found)
    if unclear is not None:
        logger.warning("%s: %s", path, unclear)
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
    for _ in range(DEEPEST):
        for look in (voc_devkit, voc_folders, coco_layout, yolo_layout, voc_beside):
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
    if path.suffix.lower() == ".json" and is_coco(path):
        roots = [path.parent, *([path.parent.parent] if path.parent.name == "annotations" else [])]
        for root in roots:
            source = coco_source(root, path)
            if source is not None:
                return Recognized("a file of COCO instances", root, {ALL: source})
        raise UserError(no_images(path))
    if path.name in (*SETTINGS, *LISTS) or path.suffix == ".names":
        found = yolo_layout(path.parent)
        if found is not None:
            return found
    if path.suffix.lower() == ".xml":
        parse_xml(path)  # says what it is if it is not of VOC
    raise UserError(f"{path}: is not a file of COCO instances with its images nearby; give the folder of the data set")
