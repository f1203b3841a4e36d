"""Write ImageNet's CLS-LOC folder image by image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

FISH, SHARK, OTHER = "n01440764", "n01484850", "n02007558"

VAL = "ILSVRC2012_val_0000000"

Objects = list[tuple[str, int, int, int, int]]


class Layout:
    """A CLS-LOC folder that is written image by image; images are noise of 60x40."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file("LOC_synset_mapping.txt", f"{FISH} tench, Tinca tinca\n{SHARK} great white shark\n")
        self.rows: dict[str, dict[str, str]] = {"train": {}, "val": {}}
        self.lists: dict[str, list[str]] = {"train_cls": [], "train_loc": [], "val": []}

    def file(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def image(self, part: str, name: str, objects: Objects, size: tuple[int, int] = (60, 40)) -> None:
        """Write an image, and its boxes as XML and CSV. A training image without boxes has neither, as in ImageNet."""
        path = self.root / f"ILSVRC/Data/CLS-LOC/{part}/{name}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(name.encode())
        cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3)).astype(np.uint8))
        self.lists["train_cls" if part == "train" else part].append(name)
        if part == "test" or (part == "train" and not objects):
            return
        if part == "train":
            self.lists["train_loc"].append(name)
        stem = name.rsplit("/")[-1]
        self.rows[part][stem] = "".join(" ".join(map(str, row)) + " " for row in objects)  # a trailing blank, as there
        self.xml(part, name, objects, size)

    def xml(self, part: str, name: str, objects: Objects, size: tuple[int, int]) -> Path:
        body = f"<filename>{name}</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        for kind, *corners in objects:
            box = "".join(f"<{c}>{v}</{c}>" for c, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
            body += f"<object><name>{kind}</name><bndbox>{box}</bndbox></object>"
        return self.file(f"ILSVRC/Annotations/CLS-LOC/{part}/{name}.xml", f"<annotation>{body}</annotation>")

    def close(self) -> Path:
        """Write the lists and solutions."""
        for name, items in self.lists.items():
            lines = "".join(f"{item} {i}\n" for i, item in enumerate(items, 1))
            self.file(f"ILSVRC/ImageSets/CLS-LOC/{name}.txt", lines)
        for part, rows in self.rows.items():
            text = "ImageId,PredictionString\n" + "".join(f"{k},{v}\n" for k, v in reversed(rows.items()))
            self.file(f"LOC_{part}_solution.csv", text)
        return self.root
