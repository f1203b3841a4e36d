"""The images and label files of a YOLO data set; its class names are in yolo_names.py.

images = list_images(Path("data/photos"), "train")
images[0]               # ListedImage(images/train/001.jpg, "train/001", data/photos/labels/train/001.txt)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePath
from typing import NamedTuple

from resdet.data.detection.shared_files import refuse_shared
from resdet.data.detection.yolo_folders import Places, image_folders, is_list
from resdet.data.detection.yolo_names import REMEDY
from resdet.data.image_files import find_images, is_hidden, resolve_image, suffixes_in_words
from resdet.data.text_files import is_file, is_folder, quoted, quoted_path, read_lines
from resdet.errors import UserError

_FIRST = 20  # lines of a list that are looked at

logger = logging.getLogger("resdet")


class ListedImage(NamedTuple):
    """One image of a set."""

    path: PurePath  # below the root
    id: str  # the path without "images" and suffix
    label: Path  # its txt file, whether it is there or not


def list_images(root: Path, image_set: str) -> list[ListedImage]:
    """The images of one set (see YOLODataset).

    Raises:
        UserError: there is no such set, it has no image, a listed path leads out of the root, two lead to one image, or
            there is no folder of labels.
    """
    source, images = _find_images(root, image_set)
    if not images:
        raise UserError(f"{source}: no image in this image set; put images there ({suffixes_in_words()}), or list them")
    places = Places(root)
    listed = [_listed_image(root, places, image) for image in images]
    if source.suffix == ".txt" and not any(is_file(root / image) for image in images):
        return listed  # told as missing images, which is what to mend first
    folders = [image.label.parent for image in listed]
    if not any(is_folder(folder) for folder in set(folders)):
        first = quoted_path(folders[0])
        raise UserError(f"{first}: no such folder of labels; put the txt files there (an empty folder: no objects)")
    orphans = orphan_labels(root, image_set, listed)
    if orphans:
        logger.warning("%d txt files have no image (first: %s)", len(orphans), orphans[0])
    return listed


def lists_images(root: Path, image_set: str) -> bool:
    """Whether one of the first images of a list is there; False for a file that is no list, or one of older images."""
    try:
        lines = list(islice(read_lines(root / image_set), _FIRST))
    except UserError:
        return False
    for where, line in lines:
        with suppress(UserError):
            if is_file(root / _listed(root, line, where)):
                return True
    return False


def orphan_labels(root: Path, image_set: str, images: Sequence[ListedImage]) -> list[Path]:
    """The txt files of a set's folder that belong to none of its images; none for a list.

    Raises:
        UserError: there is no such set.
    """
    if image_set.endswith(".txt"):
        return []
    labels = root / Places(root).of(_folder_of(root, image_set).relative_to(root)).labels
    known = {image.label for image in images}
    found = (path for path in sorted(labels.rglob("*.[tT][xX][tT]")) if path not in known and not is_list(path))
    return [path for path in found if not is_hidden(path.relative_to(labels))]


def _listed_image(root: Path, places: Places, image: PurePath) -> ListedImage:
    place = places.of(image.parent)
    label = root / place.labels / f"{image.stem}.txt"
    upper = label.with_suffix(".TXT")  # some tools on Windows
    found = upper if not is_file(label) and is_file(upper) else label
    return ListedImage(image, (place.id / image.stem).as_posix(), found)


def _find_images(root: Path, image_set: str) -> tuple[Path, list[PurePath]]:
    """The list or folder of a set, and its images."""
    if image_set.endswith(".txt"):
        source = root / image_set
        lines = list(read_lines(source, REMEDY))
        listed = [_listed(root, line, where) for where, line in lines]
        refuse_shared(((root, line) for _, line in lines), (str(root / path) for path in listed), source)
        return source, listed
    folder = _folder_of(root, image_set)
    return folder, [path.relative_to(root) for path in find_images(folder)]


def _folder_of(root: Path, image_set: str) -> Path:
    folders = image_folders(root, image_set)
    folder = next((f for f in folders if is_folder(f)), None)
    if folder is not None:
        return folder
    if not is_folder(root / image_set) or not find_images(root / image_set):
        raise UserError(f"{folders[0]}: no such folder; put the images of the set {quoted(image_set)} there")
    return root / image_set  # images and txt files side by side


def _listed(root: Path, line: str, where: str) -> PurePath:
    """The image of a line of a list, below the root.

    Darknet and CVAT write paths that begin with "data/".
    """
    path = Path(os.path.abspath(resolve_image(root, line, where)))
    inside = next((path.relative_to(r) for r in _roots(root) if path.is_relative_to(r)), None)
    if inside is not None and is_file(path):
        return inside
    parts = PurePath(line.replace("\\", "/")).parts
    if parts[:1] == ("data",) and is_file(root.joinpath(*parts[1:])):
        return PurePath(*parts[1:])
    if inside is None or not inside.name:
        raise UserError(f"{where}: {quoted(line)} is not below {root}; list the images by their paths below the root")
    return inside


def _roots(root: Path) -> tuple[Path, Path]:
    return Path(os.path.abspath(root)), Path(os.path.realpath(root))
