"""Finds the folder of annotations beside a folder of images whose name differs by one word: train_images, train_labels.

annotations_of(Path("data/train_images"), ".txt")        # data/train_labels, or data/train_annotations
annotations_of(Path("data/train/img"), ".xml")           # data/train/ann
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from resdet.data.detection.folder_content import has_images_below
from resdet.data.image_files import find_folders, folder_named, is_hidden
from resdet.data.text_files import is_folder

_IMAGES = re.compile("images?|imgs?", re.IGNORECASE)
_ANNOTATIONS = ("labels", "label", "annotations", "annotation", "annots", "anns", "ann", "xmls", "xml", "txts", "txt")


def annotations_of(images: Path, suffix: str) -> Path | None:
    """The folder that is called as a folder of images is, with another word for "images".

    Args:
        images: a folder; no image is looked for.
        suffix: of the annotations, in lower case.

    Returns:
        The first such folder with a file of this suffix in it or its subfolders; None if there is none.
    """
    found = list(_IMAGES.finditer(images.name))
    if not found:
        return None
    start, end = found[-1].span()
    named = (folder_named(images.parent, images.name[:start] + word + images.name[end:]) for word in _ANNOTATIONS)
    return next((folder for folder in named if is_folder(folder) and _has_below(folder, suffix)), None)


def paired_folders(parent: Path, suffix: str) -> list[Path]:
    """The folders of images directly in a folder for which `annotations_of` has one."""
    return [f for f in find_folders(parent) if annotations_of(f, suffix) is not None and has_images_below(f)]


def _has_below(folder: Path, suffix: str) -> bool:
    names = (name for _, _, names in os.walk(folder) for name in names)
    return any(name.lower().endswith(suffix) and not is_hidden(Path(name)) for name in names)
