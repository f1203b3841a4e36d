"""Datasets of a few small images in the layouts of VOC, ImageNet and class folders."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_voc(root: Path, sets: dict[str, dict[str, list[tuple]]], year: str = "tiny") -> Path:
    """Write a VOC folder. sets: {image set: {image id: [(class, xmin, ymin, xmax, ymax[, difficult])]}}."""
    folder = root / f"VOC{year}"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for image_set, images in sets.items():
        (folder / "ImageSets/Main" / f"{image_set}.txt").write_text("".join(f"{i}\n" for i in images))
        for image_id, objects in images.items():
            xml = "".join(
                f"<object><name>{name}</name><difficult>{int(bool(difficult))}</difficult><bndbox><xmin>{x1}</xmin>"
                f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
                for name, x1, y1, x2, y2, *difficult in objects
            )
            size = "<size><width>100</width><height>80</height><depth>3</depth></size>"
            (folder / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{size}{xml}</annotation>")
            pixels = random.integers(0, 256, (80, 100, 3)).astype(np.uint8)
            cv2.imwrite(str(folder / "JPEGImages" / f"{image_id}.jpg"), pixels)
    return folder


def write_class_folders(root: Path) -> Path:
    """Write ROOT/{train,val}/{dark,light}: 8 and 4 noisy images of 48x40 per class; one class is darker."""
    random = np.random.default_rng(0)
    for image_set, count in (("train", 8), ("val", 4)):
        for name, level in (("dark", 40), ("light", 180)):
            folder = root / image_set / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(level, level + 60, (40, 48, 3)).astype(np.uint8)
                cv2.imwrite(str(folder / f"{i}.png"), pixels)
    return root


def write_cls_loc(root: Path, train: int = 12, val: int = 7) -> Path:
    """Write CLS-LOC with two classes and one bright object per dark image; the first training image has no box."""
    random = np.random.default_rng(0)
    lists = root / "ILSVRC/ImageSets/CLS-LOC"
    lists.mkdir(parents=True)
    (root / "LOC_synset_mapping.txt").write_text("n01 ant, Formica\nn02 bee\n")
    (root / "map_clsloc.txt").write_text("n02 1 bee\nn01 2 ant\n")  # ILSVRC's numbers have another order
    for image_set, count in (("train", train), ("val", val)):
        names, rows = [], []
        for i in range(count):
            wnid = f"n0{i % 2 + 1}"
            stem = f"{wnid}_{i}" if image_set == "train" else f"ILSVRC2012_val_{i + 1:08}"
            names.append(f"{wnid}/{stem}" if image_set == "train" else stem)
            height, width = ((40, 60), (60, 40))[i % 3 == 0]
            x1, y1 = random.integers(0, (width - 25, height - 25)).tolist()
            x2, y2 = x1 + int(random.integers(15, 25)), y1 + int(random.integers(15, 25))
            pixels = random.integers(0, 90, (height, width, 3)).astype(np.uint8)
            pixels[y1 : y2 + 1, x1 : x2 + 1, i % 2] += 150
            path = root / f"ILSVRC/Data/CLS-LOC/{image_set}/{names[-1]}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)
            if image_set == "val" or i:
                rows.append(f"{stem},{wnid} {x1} {y1} {x2} {y2} \n")
        listed = "".join(f"{name} {i}\n" for i, name in enumerate(names, 1))
        (lists / ("train_cls.txt" if image_set == "train" else "val.txt")).write_text(listed)
        (root / f"LOC_{image_set}_solution.csv").write_text("ImageId,PredictionString\n" + "".join(reversed(rows)))
    return root


def write_test_set(root: Path, source: Path) -> None:
    """Write CLS-LOC with only a test set: a dark, a light and a dark image from `source`."""
    lists, images = root / "ILSVRC/ImageSets/CLS-LOC", root / "ILSVRC/Data/CLS-LOC/test"
    lists.mkdir(parents=True)
    images.mkdir(parents=True)
    (root / "LOC_synset_mapping.txt").write_text("dark night\nlight day\n")
    (lists / "test.txt").write_text("b 1\na 2\nc 3\n")
    for stem, name in (("b", "dark/0"), ("a", "light/0"), ("c", "dark/1")):
        cv2.imwrite(str(images / f"{stem}.jpeg"), cv2.imread(str(source / "val" / f"{name}.png")))
        (images / f"{stem}.jpeg").rename(images / f"{stem}.JPEG")
