"""A small data set in COCO's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def instances() -> dict[str, Any]:
    """Three images of 40x30; categories 7 and 3, not in the order of their ids."""
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in (12, 5, 90)],
        "categories": [{"id": 7, "name": "bus"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 7, "bbox": [1.5, 2, 10, 20.25], "iscrowd": 0, "area": 100},
            {"id": 2, "image_id": 12, "category_id": 3, "bbox": [0, 0, 40, 30], "iscrowd": 1, "area": 900},
            {"id": 3, "image_id": 12, "category_id": 7, "bbox": [30, 20, 20, 20], "iscrowd": 0, "area": 100},
            {"id": 4, "image_id": 12, "category_id": 7, "bbox": [3, 3, 0, 5], "iscrowd": 0, "area": 0},
        ],
    }


def write(root: Path, content: object, name: str = "val") -> Path:
    """Write ROOT/<name> with the three images, and ROOT/annotations/instances_<name>.json."""
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    for i in (12, 5, 90):
        cv2.imwrite(str(root / name / f"{i}.png"), np.zeros((30, 40, 3), np.uint8))
    (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    return root
