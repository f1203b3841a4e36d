"""Where the images and labels of a YOLO data set are; its class names are in yolo_names.py.

images = list_images(Path("data/photos"), "train")        # paths below the root
labels = label_path(images[0])                            # labels/train/001.txt of images/train/001.jpg
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from resdet.data.detection.yolo_names import LISTS, REMEDY
from resdet.data.image_files import find_images, is_hidden, resolve_image, suffixes_in_words
from resdet.data.text_files import is_file, is_folder, quoted, read_lines
from resdet.errors import UserError

logger = logging.getLogger("resdet")


def list_images(root: Path, image_set: str) -> list[PurePath]:
    """The images of one set (see YOLODataset), by their paths below the root.

    Raises:
        UserError: there is no such set, it has no image, a listed path leads out of the root, or there is no folder of
            labels.
    """
    source, images = _find_images(root, image_set)
    if not images:
        raise UserError(f"{source}: no image in this image set; put images there ({suffixes_in_words()}), or list them")
    if source.suffix == ".txt" and not any(is_file(root / image) for image in images):
        return images  # told as missing images, which is what to mend first
    folders = [root / label_path(image).parent for image in images]
    if not any(is_folder(folder) for folder in set(folders)):
        raise UserError(
            f"{folders[0]}: no such folder of labels; put the txt files there (an empty folder: no objects)"
        )
    orphans = [] if source.suffix == ".txt" else _labels_without_image(root, source, images)
    if orphans:
        logger.warning("%d txt files have no image (first: %s)", len(orphans), orphans[0])
    return images


def orphan_labels(root: Path, image_set: str) -> list[Path]:
    """The txt files of a set's folder that belong to no image; none for a list.

    Raises:
        UserError: there is no such set.
    """
    source, images = _find_images(root, image_set)
    return [] if source.suffix == ".txt" else _labels_without_image(root, source, images)


def label_path(image: PurePath) -> PurePath:
    """The txt file of an image: the last folder "images" of its path replaced by "labels"; without one, beside it."""
    return _instead_of_images(image, ("labels",)).with_suffix(".txt")


def label_file(root: Path, image: PurePath) -> Path:
    """The txt file of an image, whether it is there or not; or the .TXT that some tools on Windows write."""
    path = root / label_path(image)
    upper = path.with_suffix(".TXT")
    return upper if not is_file(path) and is_file(upper) else path


def image_id(image: PurePath) -> str:
    """An image's id: its path below the root without "images" and suffix."""
    return _instead_of_images(image, ()).with_suffix("").as_posix()


def _find_images(root: Path, image_set: str) -> tuple[Path, list[PurePath]]:
    """The list or folder of a set, and its images."""
    if image_set.endswith(".txt"):
        source = root / image_set
        return source, [_listed(root, line, where) for where, line in read_lines(source, REMEDY)]
    folders = [root / "images" / image_set, root / image_set / "images"]
    folder = next((f for f in folders if is_folder(f)), None)
    if folder is None:
        if not is_folder(root / image_set) or not find_images(root / image_set):
            raise UserError(f"{folders[0]}: no such folder; put the images of the set {quoted(image_set)} there")
        folder = root / image_set  # images and txt files side by side
    return folder, [path.relative_to(root) for path in find_images(folder)]


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


def _instead_of_images(path: PurePath, folders: tuple[str, ...]) -> PurePath:
    """Replace the last folder "images" of a path by `folders`; without one the path is returned unchanged."""
    parts = path.parts
    places = [k for k, part in enumerate(parts[:-1]) if part == "images"]
    return PurePath(*parts[: places[-1]], *folders, *parts[places[-1] + 1 :]) if places else path


def _labels_without_image(root: Path, folder: Path, images: Sequence[PurePath]) -> list[Path]:
    labels = root / label_path(folder.relative_to(root) / "any.jpg").parent
    known = {root / label_path(image) for image in images}
    found = (path for path in sorted(labels.rglob("*.txt")) if path not in known and not _is_list(path))
    return [path for path in found if not is_hidden(path.relative_to(labels))]


def _is_list(path: Path) -> bool:
    """Whether a txt file beside images is no label: a list of names or images, or a README of an export."""
    return path.name in LISTS or path.name.lower().startswith(("readme", "train.", "val.", "valid.", "test."))
