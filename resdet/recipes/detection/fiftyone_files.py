"""A test set with truth and detections as FiftyOne reads it: its FiftyOneImageDetectionDataset, a JSON file per field.

    DIR/data.json          the image of each name, where it lies
    DIR/ground_truth.json
    DIR/predictions.json
    DIR/open_fiftyone.py   reads both into one dataset, and opens FiftyOne's App

Boxes are [x, y, width, height] in shares of the image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.writing import tell_unwritten
from resdet.metrics.flat import FlatDetections
from resdet.whole_files import write_whole_file

SCRIPT = Path(__file__).with_name("open_fiftyone.py")


def write_fiftyone(dataset: DetectionDataset, found: FlatDetections, folder: Path) -> None:
    """Write names of images, truth, detections, and the script that opens them.

    FiftyOne's database holds text in UTF-8: images whose paths are not are left out, with a warning.

    Args:
        dataset: the images and their objects; those that an evaluation ignores have the attribute "ignored".
        found: the detections in its images.
        folder: made if needed; files of the same names are replaced.

    Raises:
        UserError: the folder cannot be written.
    """
    table = dataset.table
    names = [str(image_id) for image_id in table.ids]
    paths = [str(Path(path).absolute()) for path in table.paths]
    held = [i for i in range(len(names)) if _is_text(names[i] + paths[i])]
    tell_unwritten(folder, [path for n, path in zip(names, paths, strict=True) if not _is_text(n + path)])
    _write(folder / "data.json", {names[i] + Path(paths[i]).suffix: paths[i] for i in held})
    for field, objects in (("ground_truth", _truth(dataset)), ("predictions", _detected(dataset, found))):
        content = {"classes": list(dataset.classes), "labels": {names[i]: objects[i] for i in held}}
        _write(folder / f"{field}.json", content)
    write_whole_file(folder / SCRIPT.name, SCRIPT.read_bytes())


def _is_text(name: str) -> bool:
    """Whether UTF-8 can write it: bytes of a file name that are not UTF-8 are lone surrogates."""
    return name.encode(errors="replace").decode() == name


def _truth(dataset: DetectionDataset) -> list[list[dict[str, Any]]]:
    """The objects of each image."""
    table, images = dataset.table, []
    ignored = table.difficult | table.crowd
    for i in range(len(table)):
        own = table.objects(i)
        rows = zip(table.boxes[own].tolist(), table.labels[own].tolist(), ignored[own].tolist(), strict=True)
        images.append(
            [{**_object(dataset, i, box, label), "attributes": {"ignored": flag}} for box, label, flag in rows]
        )
    return images


def _detected(dataset: DetectionDataset, found: FlatDetections) -> list[list[dict[str, Any]]]:
    """The detections in each image, by descending score."""
    images: list[list[dict[str, Any]]] = [[] for _ in range(len(dataset.table))]
    for row in np.argsort(-found.score, kind="stable"):
        image = int(found.image[row])
        item = _object(dataset, image, found.box[row].tolist(), int(found.label[row]))
        images[image].append({**item, "confidence": float(found.score[row])})
    return images


def _object(dataset: DetectionDataset, image: int, box: Iterable[float], label: int) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    height, width = dataset.table.sizes[image].tolist()
    shares = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
    return {"label": dataset.classes[label], "bounding_box": shares}


def _write(path: Path, content: dict[str, Any]) -> None:
    write_whole_file(path, (json.dumps(content, ensure_ascii=False) + "\n").encode())
