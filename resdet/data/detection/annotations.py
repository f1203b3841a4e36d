"""Annotations of a whole data set in flat arrays, and the data set that decodes one image at a time.

    table = AnnotationTable([Annotation(path, id, (height, width), boxes, labels), ...])
    dataset = DetectionDataset(classes, table)
    sample = dataset[0]                       # resdet.structures.Sample

A reader of a file format (VOC, COCO) makes `Annotation`s; nothing else depends on the format. The arrays hold no Python
objects, so that forked loader workers share their memory: reading a list of objects changes their reference counts, and
every worker would get its own copy of the pages (copy-on-write).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from resdet.data.images import image_size, read_image
from resdet.errors import UserError
from resdet.structures import Sample

logger = logging.getLogger("resdet")


@dataclass
class Annotation:
    """One image and its G objects. Boxes are continuous (x1, y1, x2, y2) in the image's own pixels."""

    path: str
    id: str
    size: tuple[int, int]  # (height, width)
    boxes: np.ndarray  # float64 [G, 4]
    labels: np.ndarray  # int64 [G], 0..K-1
    difficult: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # bool [G]; () for none
    crowd: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # bool [G]; () for none

    def __post_init__(self) -> None:
        self.boxes = np.asarray(self.boxes, np.float64).reshape(-1, 4)
        self.labels = np.asarray(self.labels, np.int64).reshape(-1)
        self.difficult = _flags(self.difficult, len(self.labels))
        self.crowd = _flags(self.crowd, len(self.labels))
        if len(self.boxes) != len(self.labels):
            raise ValueError(f"{self.id}: {len(self.boxes)} boxes but {len(self.labels)} labels")

    def keep(self, mask: np.ndarray) -> Annotation:
        """Return the image with the objects where `mask`, bool [G], is true."""
        chosen = (array[mask] for array in (self.boxes, self.labels, self.difficult, self.crowd))
        return Annotation(self.path, self.id, self.size, *chosen)

    def __len__(self) -> int:
        return len(self.labels)


class AnnotationTable:
    """All N images and M objects of a data set as flat arrays; image i has the objects offsets[i]:offsets[i + 1]."""

    paths: np.ndarray  # str [N]
    ids: np.ndarray  # str [N]
    sizes: np.ndarray  # int32 [N, 2], (height, width)
    offsets: np.ndarray  # int64 [N + 1]
    boxes: np.ndarray  # float64 [M, 4]
    labels: np.ndarray  # int64 [M]
    difficult: np.ndarray  # bool [M]
    crowd: np.ndarray  # bool [M]

    def __init__(self, annotations: Sequence[Annotation]) -> None:
        self.paths = np.array([a.path for a in annotations], dtype=np.str_)
        self.ids = np.array([a.id for a in annotations], dtype=np.str_)
        self.sizes = np.array([a.size for a in annotations], np.int32).reshape(-1, 2)
        self.offsets = np.cumsum([0, *(len(a) for a in annotations)], dtype=np.int64)
        # The empty first arrays give shapes to an empty data set: np.concatenate refuses an empty list.
        self.boxes = np.concatenate([np.zeros((0, 4)), *(a.boxes for a in annotations)])
        self.labels = np.concatenate([np.zeros(0, np.int64), *(a.labels for a in annotations)])
        self.difficult = np.concatenate([np.zeros(0, bool), *(a.difficult for a in annotations)])
        self.crowd = np.concatenate([np.zeros(0, bool), *(a.crowd for a in annotations)])

    def objects(self, index: int) -> slice:
        """The slice of boxes, labels, difficult and crowd that belongs to image `index`."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def image_of_object(self) -> np.ndarray:
        """Index of the image of each object, int64 [M]."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.offsets))

    def aspect_ratios(self) -> np.ndarray:
        """Width / height of each image, float64 [N]."""
        ratios: np.ndarray = self.sizes[:, 1] / self.sizes[:, 0]
        return ratios

    def __len__(self) -> int:
        return len(self.ids)


class DetectionDataset:
    """Images and objects by index.

    Args:
        classes: names of the labels 0..K-1.
        table: the annotations of all images.
    """

    def __init__(self, classes: Sequence[str], table: AnnotationTable) -> None:
        self.classes: tuple[str, ...] = tuple(classes)
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        """Decode image `index`.

        Raises:
            UserError: the image is missing or unreadable, or its size is not the annotation's.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        index %= len(self)
        table, objects = self.table, self.table.objects(index)
        pixels = read_image(str(table.paths[index]))
        self._check_size(index, pixels)
        return Sample(
            image=torch.from_numpy(pixels),
            boxes=torch.from_numpy(table.boxes[objects].astype(np.float32)),
            labels=torch.from_numpy(table.labels[objects].copy()),
            difficult=torch.from_numpy(table.difficult[objects].copy()),
            crowd=torch.from_numpy(table.crowd[objects].copy()),
            image_id=str(table.ids[index]),
        )

    def _check_size(self, index: int, pixels: np.ndarray) -> None:
        height, width = (int(side) for side in self.table.sizes[index])
        if pixels.shape[:2] == (height, width):
            return
        raise UserError(
            f"{self.table.paths[index]}: the image is {pixels.shape[1]}x{pixels.shape[0]} but its annotation says "
            f"{width}x{height}; correct the annotation, or restore the image that was annotated (EXIF rotation counts)"
        )


def complete_sizes(annotations: Sequence[Annotation], warn_of_empty: bool = True) -> list[Annotation]:
    """Read image sizes that the annotations lack, (0, 0), from the images' headers; one warning counts them.

    Args:
        annotations: `path` of each is its image.
        warn_of_empty: False counts only images with objects, for formats whose empty images have no annotation file.

    Raises:
        UserError: an image is missing, or its header cannot be read.
    """
    missing = [a for a in annotations if 0 in a.size and (warn_of_empty or len(a))]
    if missing:
        logger.warning(
            "%d of %d annotations have no image size (first: %s): read from the image headers",
            *(len(missing), len(annotations), missing[0].id),
        )
    return [replace(a, size=image_size(a.path)) if 0 in a.size else a for a in annotations]


def clean_boxes(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Clip boxes to their images and drop those without area, on which training gives NaN; one warning counts both."""
    clipped = dropped = 0
    first = ""
    cleaned = []
    for annotation in annotations:
        height, width = annotation.size
        boxes = annotation.boxes.clip(0, [width, height, width, height])
        single = boxes.astype(np.float32)  # what is trained on
        has_area = (single[:, 2] > single[:, 0]) & (single[:, 3] > single[:, 1])
        changed = has_area & (boxes != annotation.boxes).any(1)
        bad = np.flatnonzero(changed | ~has_area)
        if len(bad) and not first:
            first = f"{annotation.id}, object {bad[0] + 1}"
        clipped += int(changed.sum())
        dropped += int((~has_area).sum())
        cleaned.append(replace(annotation, boxes=boxes).keep(has_area) if len(bad) else annotation)
    if first:
        logger.warning(
            "%d boxes extend beyond their image and were clipped, %d have no area in it and were dropped (first: %s)",
            *(clipped, dropped, first),
        )
    return cleaned


def _flags(flags: np.ndarray, count: int) -> np.ndarray:
    flags = np.asarray(flags, bool).reshape(-1)
    if len(flags) == 0:
        return np.zeros(count, bool)
    if len(flags) != count:
        raise ValueError(f"{len(flags)} flags for {count} objects")
    return flags
