"""Boxes as annotations of a labelling tool: VOC's xml, COCO's json, YOLO's txt.

write_annotations("voc", images, classes, Path("drawn/voc"))     # read back by VOCDataset("drawn/voc", [("", "all")])

Boxes are (x1, y1, x2, y2) in continuous pixels of the image, labels are indices into the classes.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from resdet.data.detection.coco_values import MalformedError, text_of
from resdet.whole_files import whole_file

Box = Sequence[float]

FORMATS = ("voc", "coco", "yolo")  # the choices of `resdet predict --save-annotations`
IMAGE_SET = "all"  # of the VOC layout
_MOST_NAMES = 10  # of images that a warning names

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its objects.

    Args:
        path: the image.
        name: its path in the new data set, with forward slashes and suffix.
        size: (height, width).
        boxes: of its objects.
        labels: of its objects.
    """

    path: Path
    name: str
    size: tuple[int, int]
    boxes: Sequence[Box]
    labels: Sequence[int]


def write_annotations(form: str, images: Sequence[AnnotatedImage], classes: Sequence[str], folder: Path) -> None:
    """Write a data set of its own, with links to the images, or copies where the system allows no links.

    Images whose names the format cannot hold are left out, with a warning: VOC's and COCO's are texts in UTF-8 without
    control characters, VOC's also one line each, without blanks at its ends.

    Args:
        form: one of FORMATS.
        images: names that differ only in their suffix get that suffix in their names.
        classes: names, by label.
        folder: made if needed; files of the same names are replaced.
    """
    tell_unwritten(folder, [image.name for image in images if not _holds(form, image.name)])
    images = [image for image in images if _holds(form, image.name)]
    stems = _stems(images)
    pictures = folder / ("JPEGImages" if form == "voc" else "images")
    for image, stem in zip(images, stems, strict=True):
        _place(image.path, pictures / f"{stem}{Path(image.name).suffix}")
    writer = {"voc": _write_voc, "coco": _write_coco, "yolo": _write_yolo}[form]
    writer(images, stems, classes, folder)


def tell_unwritten(folder: Path, names: Sequence[str]) -> None:
    """Warn of images that are left out of a data set because of their names, if there are any.

    Args:
        folder: of the data set.
        names: of the images; the warning shows the first ones, escaped.
    """
    if names:
        first = ", ".join(map(repr, names[:_MOST_NAMES])) + (", ..." if len(names) > _MOST_NAMES else "")
        text = "%s: images whose names this format cannot hold are left out, %d: %s; rename them"
        logger.warning(text, folder, len(names), first)


def voc_xml(filename: str, size: tuple[int, int], boxes: Sequence[Box], names: Sequence[str]) -> str:
    """PASCAL VOC's xml of one image: whole pixels, 1-based and inclusive, at least one pixel per box.

    Args:
        filename: of the image.
        size: (height, width).
        boxes: [D].
        names: of the classes, [D].
    """
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = filename
    shape = ElementTree.SubElement(root, "size")
    for key, value in (("width", size[1]), ("height", size[0]), ("depth", 3)):
        ElementTree.SubElement(shape, key).text = str(value)
    for box, name in zip(boxes, names, strict=True):
        item = ElementTree.SubElement(root, "object")
        for key, text in (("name", name), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
            ElementTree.SubElement(item, key).text = text
        corners = ElementTree.SubElement(item, "bndbox")
        for key, number in zip(("xmin", "ymin", "xmax", "ymax"), _voc_corners(box, size), strict=True):
            ElementTree.SubElement(corners, key).text = str(number)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def yolo_lines(size: tuple[int, int], boxes: Sequence[Box], labels: Sequence[int]) -> str:
    """YOLO's txt of one image: `label cx cy width height` per line, in fractions of `size` = (height, width)."""
    height, width = size
    rows = (
        (label, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True)
    )
    return "".join(f"{label} {cx:.6f} {cy:.6f} {w:.6f} {h:.6f}\n" for label, cx, cy, w, h in rows)


def _voc_corners(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = size
    x1, y1 = min(round(box[0]), width - 1), min(round(box[1]), height - 1)
    return x1 + 1, y1 + 1, max(round(box[2]), x1 + 1), max(round(box[3]), y1 + 1)


def _write_voc(images: Sequence[AnnotatedImage], stems: Sequence[str], classes: Sequence[str], folder: Path) -> None:
    for image, stem in zip(images, stems, strict=True):
        filename = PurePosixPath(stem).name + Path(image.name).suffix
        text = voc_xml(filename, image.size, image.boxes, [classes[k] for k in image.labels])
        _write(folder / "Annotations" / f"{stem}.xml", text)
    _write(folder / "ImageSets" / "Main" / f"{IMAGE_SET}.txt", "".join(f"{stem}\n" for stem in stems))


def _write_yolo(images: Sequence[AnnotatedImage], stems: Sequence[str], classes: Sequence[str], folder: Path) -> None:
    for image, stem in zip(images, stems, strict=True):
        _write(folder / "labels" / f"{stem}.txt", yolo_lines(image.size, image.boxes, image.labels))
    names = "".join(f"  {k}: {json.dumps(name, ensure_ascii=False)}\n" for k, name in enumerate(classes))
    _write(folder / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{names}")


def _write_coco(images: Sequence[AnnotatedImage], stems: Sequence[str], classes: Sequence[str], folder: Path) -> None:
    records: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for i, (image, stem) in enumerate(zip(images, stems, strict=True), 1):
        name = stem + Path(image.name).suffix
        records.append({"id": i, "file_name": name, "height": image.size[0], "width": image.size[1]})
        for (x1, y1, x2, y2), label in zip(image.boxes, image.labels, strict=True):
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            objects.append({"id": len(objects) + 1, "image_id": i, "category_id": label + 1, **box})
    categories = [{"id": k, "name": name} for k, name in enumerate(classes, 1)]
    content = {"images": records, "annotations": objects, "categories": categories}
    _write(folder / "annotations.json", json.dumps(content, ensure_ascii=False) + "\n")


def _holds(form: str, name: str) -> bool:
    """Whether the data set, read again, names the same image."""
    if form == "yolo":  # names are those of files alone
        return True
    try:
        text_of(name, "file_name")
    except MalformedError:
        return False
    stem = str(PurePosixPath(name).with_suffix(""))
    # Readers of lists strip lines, and a byte-order mark at the beginning.
    return form == "coco" or stem == stem.strip().lstrip("\ufeff")


def _stems(images: Sequence[AnnotatedImage]) -> list[str]:
    """Paths without suffix, which differ: photo.jpg and photo.png become photo and photo_png."""
    taken: dict[str, None] = {}  # a set in order
    for image in images:
        path = PurePosixPath(image.name)
        stem = str(path.with_suffix(""))
        if stem in taken:
            stem = f"{stem}_{path.suffix[1:]}"
        while stem in taken:
            stem += "_"
        taken[stem] = None
    return list(taken)


def _place(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        target.unlink()
    try:
        os.symlink(path.resolve(), target)
    except (OSError, NotImplementedError):  # a file system without links, or Windows without the right to make them
        with whole_file(target) as partial:
            shutil.copyfile(path, partial)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
