"""CLS-LOC images whose classes differ in colour: red fish and blue sharks on gray noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from helpers.cls_loc import FISH, SHARK, VAL, Layout

COLOURS = ((220, 40, 40), (40, 60, 220))  # RGB, of each class's objects; what is around them is gray
TRAIN, TEST = 10, 5  # images


def write_photos(root: Path) -> Path:
    """Write landscape and portrait images with one coloured rectangle each; the second training image has two."""
    layout, random = Layout(root), np.random.default_rng(0)
    for i in range(TRAIN + TEST):
        kind = i % 2
        name = (FISH, SHARK)[kind]
        width, height = (90, 70) if i % 3 else (70, 90)
        pixels = random.integers(90, 170, (height, width, 1)).repeat(3, 2).astype(np.uint8)
        boxes = []
        for left in (4, 46) if i == 1 else (int(random.integers(5, 25)),):
            top, right = int(random.integers(5, 30)), left + int(random.integers(30, 40))
            boxes.append((name, left, top, right, top + int(random.integers(25, 35))))
            pixels[top : boxes[-1][4] + 1, left : right + 1] = COLOURS[kind]
        part, stem = ("train", f"{name}/{name}_{i}") if i < TRAIN else ("val", f"{VAL}{i - TRAIN}")
        layout.image(part, stem, boxes, (width, height))
        cv2.imwrite(str(root / f"ILSVRC/Data/CLS-LOC/{part}/{stem}.JPEG"), pixels[..., ::-1])
    return layout.close()
