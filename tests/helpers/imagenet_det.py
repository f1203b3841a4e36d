"""Write a small ImageNet DET folder image by image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

# Numbers against the order of wnids and of lines, as ant's is in the kit: 3, with the smallest wnid of these.
CLASSES = "n02691156 2 airplane\nn02219486 3 ant\nn02672831 1 accordion\n"
ACCORDION, AIRPLANE, ANT = "n02672831", "n02691156", "n02219486"
VAL = "ILSVRC2012_val_0000000"
TRAIN = "ILSVRC2014_train_0006/ILSVRC2014_train_0006003"
SYNSET = "ILSVRC2013_train/n02672831/n02672831_431"
Objects = list[tuple[str, int, int, int, int]]


def write_image(root: Path, part: str, image_id: str, objects: Objects | None, size: bool = True) -> None:
    """Write one image of 40x30 and its XML; `objects` None writes no XML."""
    image, xml = (root / f"ILSVRC/{kind}/DET/{part}/{image_id}" for kind in ("Data", "Annotations"))
    for path in (image, xml):
        path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(f"{image}.JPEG", np.zeros((30, 40, 3), np.uint8))
    if objects is None:
        return
    body = "<size><width>40</width><height>30</height></size>" if size else ""
    for name, *corners in objects:
        box = "".join(f"<{c}>{v}</{c}>" for c, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
        body += f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"
    Path(f"{xml}.xml").write_text(f"<annotation>{body}</annotation>")


def write_list(root: Path, name: str, *lines: str) -> Path:
    """Write an image set: one line per image."""
    path = root / "ILSVRC/ImageSets/DET" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
