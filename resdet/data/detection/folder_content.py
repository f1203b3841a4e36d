"""What kinds of files a folder holds, by which the format of a data set is recognized."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from resdet.data.image_files import IMAGE_SUFFIXES, is_hidden, is_image_name
from resdet.data.text_files import is_folder


def has_file(folder: Path, *suffixes: str) -> bool:
    """Whether a file with one of these suffixes, in lower case, lies directly in a folder."""
    return is_folder(folder) and any(
        path.suffix.lower() in suffixes and not is_hidden(Path(path.name)) for path in folder.iterdir()
    )


def has_images(folder: Path) -> bool:
    """Whether an image lies directly in a folder."""
    return has_file(folder, *IMAGE_SUFFIXES)


def has_images_below(folder: Path) -> bool:
    """Whether an image lies in a folder or its subfolders."""
    return any(is_image_name(Path(name)) for _, _, names in os.walk(folder) for name in names)


def has_annotated_image(folder: Path, suffix: str) -> bool:
    """Whether an image and a file of its name with this suffix, in lower case, lie directly in a folder."""
    names = [path for path in folder.iterdir() if not is_hidden(Path(path.name))]
    images = {path.stem for path in names if is_image_name(Path(path.name))}
    return any(path.suffix.lower() == suffix and path.stem in images for path in names)


def json_files(folder: Path) -> list[Path]:
    """The JSON files directly in a folder, sorted, without hidden ones such as macOS's ._labels.json."""
    return sorted(p for p in folder.glob("*.[jJ][sS][oO][nN]") if not is_hidden(Path(p.name)))


def more_xml_than_txt(root: Path) -> bool:
    """Whether below a folder more images have an xml file than a txt file, which is of VOC then and not of YOLO."""
    suffixes = Counter(
        os.path.splitext(name)[1].lower()
        for _, _, names in os.walk(root)
        for name in names
        if not is_hidden(Path(name)) and name not in ("classes.txt", "notes.txt")
    )
    return suffixes[".xml"] > suffixes[".txt"]
