"""Write a small VOC folder from XML bodies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from resdet.data.detection.voc import (
    VOCDataset,
)

SIZE_XML = "<size><width>60</width><height>40</height><depth>3</depth></size>"
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def object_xml(name: str, box: tuple, extra: str = "<difficult>0</difficult>") -> str:
    """XML of one object; `box` is inclusive and 1-based."""
    corners = "".join(f"<{c}>{v}</{c}>" for c, v in zip(CORNERS, box, strict=True))
    return f"<object><name>{name}</name>{extra}<bndbox>{corners}</bndbox></object>"


def write_image(path: Path, height: int = 40, width: int = 60) -> None:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), (200, 100, 30), np.uint8))


def write_voc_xml(root: Path, images: dict[str, str], year: str = "2007", image_set: str = "trainval") -> Path:
    """Write a VOC folder. images: {image id: content of <annotation>}."""
    folder = root / f"VOC{year}"
    for name in ("Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for image_id, body in images.items():
        (folder / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{body}</annotation>")
        write_image(folder / "JPEGImages" / f"{image_id}.jpg")
    (folder / "ImageSets" / "Main" / f"{image_set}.txt").write_text("\n".join(images) + "\n")
    return folder


def read_one(root: Path, body: str, **options: object) -> VOCDataset:
    """Dataset of a single image whose annotation has this body."""
    write_voc_xml(root, {"a": body})
    return VOCDataset(root, [("2007", "trainval")], **options)  # type: ignore[arg-type]
