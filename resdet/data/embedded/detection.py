"""The embedded data set: textured shapes on clutter, drawn from seeds on first use, in VOC and in COCO layout.

    train = ShapesDataset("data/shapes", "trainval")        # draws 600 + 150 images once, in seconds
    test = ShapesDataset("data/shapes", "test")
    crops = ShapeCrops("data/shape_crops", "train")         # one shape per image and its class, for pre-training

The pictures are drawn by data/embedded/pictures.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.annotations import Annotation
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.voc_xml import write_annotation
from resdet.data.embedded.outlines import SHAPE_CLASSES
from resdet.data.embedded.pictures import draw_crop, draw_picture
from resdet.data.embedded.publishing import GENERATOR_VERSION, publish, write_jpeg

_AUTHOR = {"drawn_by": "resdet", "version": GENERATOR_VERSION}
_YEAR = "shapes"
_TRAIN, _TEST, _CROP_TRAIN, _CROP_VAL = range(4)  # part of each picture's seed: pictures of different sets differ


class ShapesDataset(VOCDataset):
    """The embedded set as a `VOCDataset`, drawn if `root` does not have it.

    Args:
        root: folder of the set, see `generate_shapes`.
        image_set: "trainval" or "test".
        train, test: images in the two sets.
        keep_difficult: see VOCDataset.

    Raises:
        UserError: root/VOCshapes exists but was not drawn here, or `root` cannot be written.
    """

    def __init__(
        self,
        root: str | Path = "data/shapes",
        image_set: str = "trainval",
        train: int = 600,
        test: int = 150,
        keep_difficult: bool = True,
    ) -> None:
        generate_shapes(root, train, test)
        super().__init__(root, [(_YEAR, image_set)], SHAPE_CLASSES, keep_difficult)


class ShapeCrops(ImageNetDataset):
    """One shape per image as an `ImageNetDataset`, drawn if `root` does not have it.

    Args:
        root: folder of the set, see `generate_shape_crops`.
        image_set: "train" or "val".
        train, val: images in the two sets.
        size: side of the images in pixels.

    Raises:
        UserError: `root` exists but was not drawn here, or cannot be written.
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
    """Draw the detection set; nothing is done if it was drawn with the same arguments before.

    Writes root/VOCshapes/{Annotations,JPEGImages,ImageSets/Main/{trainval,test}.txt} and the same boxes as
    root/VOCshapes/annotations/instances_{trainval,test}.json (COCO; category ids 1..8, areas are those of the boxes).
    The folder appears complete, also if several processes draw it. Image i of a set depends on `seed` and i alone.

    Returns:
        `root`.

    Raises:
        UserError: root/VOCshapes exists but was not drawn by this function, or `root` cannot be written.
    """
    root = Path(root)
    asked = {**_AUTHOR, "train": train, "test": test, "seed": seed}

    def draw(folder: Path) -> None:
        for name in ("Annotations", "JPEGImages", "ImageSets/Main", "annotations"):
            (folder / name).mkdir(parents=True)
        _draw_split(folder, "trainval", train, (seed, _TRAIN))
        _draw_split(folder, "test", test, (seed, _TEST))

    publish(root / f"VOC{_YEAR}", asked, draw)
    return root


def generate_shape_crops(root: str | Path, train: int = 3200, val: int = 400, size: int = 64, seed: int = 0) -> Path:
    """Draw the classification set, root/{train,val}/<class>/<number>.jpg, with equally many images per class.

    Each [size, size] picture has one shape near the middle, on clutter, sometimes partly hidden. Nothing is done if the
    set was drawn with the same arguments before.

    Returns:
        `root`.

    Raises:
        UserError: `root` exists but was not drawn by this function, or cannot be written.
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

    publish(Path(root), asked, draw)
    return Path(root)


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


def _to_coco(annotations: list[Annotation]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for number, annotation in enumerate(annotations, 1):
        height, width = annotation.size
        images.append({"id": number, "file_name": annotation.path, "width": width, "height": height})
        for (x1, y1, x2, y2), label in zip(annotation.boxes.tolist(), annotation.labels.tolist(), strict=True):
            side_x, side_y = x2 - x1, y2 - y1
            keys = {"id": len(objects) + 1, "image_id": number, "category_id": label + 1, "iscrowd": 0}
            objects.append({**keys, "bbox": [x1, y1, side_x, side_y], "area": side_x * side_y})
    categories = [{"id": label, "name": name} for label, name in enumerate(SHAPE_CLASSES, 1)]
    return {"images": images, "annotations": objects, "categories": categories}
