"""The embedded data set: textured shapes on clutter, drawn on first use from seeds, in VOC and in COCO layout.

    train = ShapesDataset("data/embedded/detection", "trainval")        # draws 600 + 150 images in some seconds, once
    test = ShapesDataset("data/embedded/detection", "test")
    crops = ShapeCrops("data/shape_crops", "train")         # one shape an image with its class, to pre-train on

How the pictures come about: shape_pictures.py.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.annotations import Annotation
from resdet.data.detection.voc import VOCDataset, write_annotation
from resdet.data.embedded.pictures import SHAPE_CLASSES, draw_crop, draw_picture
from resdet.errors import UserError

GENERATOR_VERSION = 1  # raise it whenever the pictures change: existing folders are then drawn again

_AUTHOR = {"drawn_by": "resdet", "version": GENERATOR_VERSION}
_YEAR = "shapes"
_MANIFEST = "shapes_manifest.json"
_JPEG_QUALITY = 92
_ATTEMPTS = 30  # at putting a drawn set in its place, while other processes do the same

logger = logging.getLogger("resdet")

_TRAIN, _TEST, _CROP_TRAIN, _CROP_VAL = range(4)  # streams of random numbers that never meet


class ShapesDataset(VOCDataset):
    """The embedded set as a `VOCDataset`; drawn first if `root` lacks it. image_set: "trainval" or "test".

    Raises:
        UserError: see `generate_shapes`.
    """

    def __init__(
        self,
        root: str | Path = "data/embedded/detection",
        image_set: str = "trainval",
        train: int = 600,
        test: int = 150,
        keep_difficult: bool = True,
    ) -> None:
        generate_shapes(root, train, test)
        super().__init__(root, [(_YEAR, image_set)], SHAPE_CLASSES, keep_difficult)


class ShapeCrops(ImageNetDataset):
    """One shape an image, as an `ImageNetDataset`; drawn first if `root` lacks it. image_set: "train" or "val".

    Raises:
        UserError: see `generate_shape_crops`.
    """

    def __init__(
        self,
        root: str | Path = "data/shape_crops",
        image_set: str = "train",
        train: int = 3200,
        val: int = 400,
        size: int = 64,
    ) -> None:
        generate_shape_crops(root, train, val, size)
        super().__init__(root, image_set)


def generate_shapes(root: str | Path, train: int = 600, test: int = 150, seed: int = 0) -> Path:
    """Draw the detection set and return `root`; nothing is done where it was drawn with the same arguments before.

    Writes root/VOCshapes/{Annotations,JPEGImages,ImageSets/Main/{trainval,test}.txt} and the same boxes as
    root/VOCshapes/annotations/instances_{trainval,test}.json (COCO; category ids 1..8, areas are those of the boxes).
    The folder appears at once and complete, also when several processes ask for it. Image i of a set depends on the
    seed and i alone.

    Raises:
        UserError: root/VOCshapes is there but was not drawn by this function, or `root` cannot be written.
    """
    root = Path(root)
    asked = {**_AUTHOR, "train": train, "test": test, "seed": seed}

    def draw(folder: Path) -> None:
        for name in ("Annotations", "JPEGImages", "ImageSets/Main", "annotations"):
            (folder / name).mkdir(parents=True)
        _draw_split(folder, "trainval", train, (seed, _TRAIN))
        _draw_split(folder, "test", test, (seed, _TEST))

    publish_whole(root / f"VOC{_YEAR}", asked, draw)
    return root


def generate_shape_crops(root: str | Path, train: int = 3200, val: int = 400, size: int = 64, seed: int = 0) -> Path:
    """Draw the classification set and return `root`: root/{train,val}/<class>/<name>.jpg, classes in equal parts.

    One shape near the middle of each [size, size] picture, on clutter, at times partly hidden.

    Raises:
        UserError: `root` is there but was not drawn by this function, or cannot be written.
    """
    asked = {**_AUTHOR, "train": train, "val": val, "size": size, "seed": seed}

    def draw(folder: Path) -> None:
        for split, count, stream in (("train", train, _CROP_TRAIN), ("val", val, _CROP_VAL)):
            for name in SHAPE_CLASSES:
                (folder / split / name).mkdir(parents=True)
            for index in range(count):
                label = index % len(SHAPE_CLASSES)
                pixels = draw_crop(np.random.default_rng((seed, stream, index)), size, label)
                write_jpeg(folder / split / SHAPE_CLASSES[label] / f"{index:05d}.jpg", pixels)

    publish_whole(Path(root), asked, draw)
    return Path(root)


# --- whole sets -------------------------------------------------------------------------------------------------------


def _draw_split(folder: Path, image_set: str, count: int, key: tuple[int, int]) -> None:
    annotations = []
    for index in range(count):
        picture = draw_picture(np.random.default_rng((*key, index)))
        image_id = f"{image_set}_{index:05d}"
        write_jpeg(folder / "JPEGImages" / f"{image_id}.jpg", picture.pixels)
        height, width = picture.pixels.shape[:2]
        annotation = Annotation(
            f"{image_id}.jpg", image_id, (height, width), picture.boxes, picture.labels, picture.difficult
        )
        xml = folder / "Annotations" / f"{image_id}.xml"
        write_annotation(xml, annotation, SHAPE_CLASSES, picture.truncated, picture.occluded)
        annotations.append(annotation)
    ids = "".join(f"{annotation.id}\n" for annotation in annotations)
    (folder / "ImageSets" / "Main" / f"{image_set}.txt").write_text(ids)
    instances = folder / "annotations" / f"instances_{image_set}.json"
    instances.write_text(json.dumps(_to_coco(annotations)))


def _to_coco(annotations: list[Annotation]) -> dict:
    images: list[dict] = []
    objects: list[dict] = []
    for number, annotation in enumerate(annotations, 1):
        height, width = annotation.size
        images.append({"id": number, "file_name": annotation.path, "width": width, "height": height})
        for (x1, y1, x2, y2), label in zip(annotation.boxes.tolist(), annotation.labels.tolist(), strict=True):
            side_x, side_y = x2 - x1, y2 - y1
            keys = {"id": len(objects) + 1, "image_id": number, "category_id": label + 1, "iscrowd": 0}
            objects.append({**keys, "bbox": [x1, y1, side_x, side_y], "area": side_x * side_y})
    categories = [{"id": label, "name": name} for label, name in enumerate(SHAPE_CLASSES, 1)]
    return {"images": images, "annotations": objects, "categories": categories}


def publish_whole(target: Path, asked: dict, draw: Callable[[Path], None]) -> None:
    """Let `draw` fill a temporary folder beside `target` and move it there, unless `target` is what was asked for."""
    if _is_current(target, asked):
        return
    logger.info("drawing %s, some seconds, once", target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".drawing-", dir=target.parent) as temporary:
            fresh = Path(temporary) / "fresh"
            fresh.mkdir()
            draw(fresh)
            (fresh / _MANIFEST).write_text(json.dumps(asked))
            _move_into_place(fresh, target, asked)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror}); choose another folder") from None


def _move_into_place(fresh: Path, target: Path, asked: dict) -> None:
    """Another process may have put its own there meanwhile: an equal one is kept, an older one moved away."""
    for attempt in range(_ATTEMPTS):
        try:
            os.replace(fresh, target)
            return
        except OSError:
            if not target.exists() or attempt == _ATTEMPTS - 1:
                raise
        if _is_current(target, asked):
            return
        old = fresh.with_name(f"old-{attempt}")  # removed with the temporary folder
        try:
            os.replace(target, old)
        except FileNotFoundError:
            continue


def _is_current(target: Path, asked: dict) -> bool:
    """Whether `target` was drawn with the arguments `asked`; a folder that was not drawn here must stay untouched."""
    found = _arguments_of(target)
    if found is None and (target.is_file() or (target.is_dir() and os.listdir(target))):
        found = _arguments_of(target)  # a set comes whole: another process may have put its own there between the looks
        if found is None:
            raise UserError(
                f"{target}: exists and is not the embedded set, which would replace it; choose another folder"
            )
    return found == asked


def _arguments_of(target: Path) -> dict | None:
    """What `target` was drawn with; None if it was not drawn here, or is not there."""
    try:
        found = json.loads((target / _MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("drawn_by") == "resdet" else None


def write_jpeg(path: Path, pixels: np.ndarray) -> None:
    """Write pixels uint8 [H, W, 3], BGR; the same bytes for the same pixels."""
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    path.write_bytes(encoded.tobytes())
