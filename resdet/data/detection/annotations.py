"""Annotations of a whole data set in flat arrays, and the data set that decodes one image at a time.

    table = AnnotationTable([Annotation(path, id, (height, width), boxes, labels), ...])
    dataset = DetectionDataset(classes, table)
    sample = dataset[0]                       # resdet.structures.Sample

A reader of a file format (VOC, COCO) makes `Annotation`s; nothing else depends on the format. The arrays hold no Python
objects, so that forked loader workers share their memory: reading a list of objects changes their reference counts, and
every worker would get its own copy of the pages (copy-on-write).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from resdet.data.detection.usable import refuse_fractions
from resdet.data.image_files import require_images
from resdet.data.images import image_size, read_image, wrong_size
from resdet.errors import UserError
from resdet.structures import Sample

_NO_SIDE = 2**31  # pixels; sizes are int32
_WEIGHTS = np.sqrt([2.0, 3, 5, 7, 11, 13, 17, 19])  # of image, label, flags and box; no sums of them coincide by chance

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


def take_objects(table: AnnotationTable, mask: np.ndarray) -> AnnotationTable:
    """The annotations of all images with the objects where `mask`, bool [M], is true."""
    taken = copy.copy(table)
    taken.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(mask)])[table.offsets]
    taken.boxes, taken.labels = table.boxes[mask], table.labels[mask]
    taken.difficult, taken.crowd = table.difficult[mask], table.crowd[mask]
    return taken


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
        if pixels.shape[:2] != (height, width):
            raise wrong_size(self.table.paths[index], pixels.shape[:2], (height, width))


def build_table(
    annotations: Sequence[Annotation],
    source: str | Path,
    warn_of_empty: bool = True,
    refuse_misread: Callable[[AnnotationTable, str | Path], None] = refuse_fractions,
) -> AnnotationTable:
    """The checks and repairs that all formats share, each told once with its number, and the table of the result.

    Images must be there; missing sizes are read from their headers; boxes are clipped, and dropped where they have no
    area; objects that repeat another are told and kept, because evaluations count them.

    Args:
        annotations: of the images of a data set.
        source: what lists the images, for messages.
        warn_of_empty: see `complete_sizes`.
        refuse_misread: refuses boxes whose numbers mean something else than the format says.

    Raises:
        UserError: no image is left, an image is missing, a header that must be read cannot, or boxes are misread.
    """
    require_any(annotations, source)
    require_images([a.path for a in annotations], source)
    table = AnnotationTable(complete_sizes(annotations, warn_of_empty))
    refuse_misread(table, source)
    table = clean_table(table)
    tell_repeated(table)
    return table


def require_any(annotations: Sized, source: str | Path, filters: str = "") -> None:
    """Refuse a data set without images.

    Args:
        annotations: those that are left.
        source: what lists the images, for the message.
        filters: the options that images were left out by, for the message: "empty_images=False".

    Raises:
        UserError: there is none.
    """
    if len(annotations):
        return
    remedy = f"no image is left by {filters}; annotate some, or remove this option" if filters else "no image is listed"
    raise UserError(f"{source}: {remedy}")


def complete_sizes(annotations: Sequence[Annotation], warn_of_empty: bool = True) -> list[Annotation]:
    """Read image sizes that the annotations lack from the images' headers; one warning counts them.

    Args:
        annotations: `path` of each is its image; a size with a side of 0 or less, or of no image, counts as missing.
        warn_of_empty: False counts only images with objects, for formats whose empty images have no annotation file.

    Raises:
        UserError: an image is missing, or its header cannot be read.
    """
    lacking = [not all(0 < side < _NO_SIDE for side in a.size) for a in annotations]
    told = [a for a, lacks in zip(annotations, lacking, strict=True) if lacks and (warn_of_empty or len(a))]
    if told:
        logger.warning(
            "%d of %d annotations have no image size (first: %s): read from the image headers",
            *(len(told), len(annotations), told[0].id),
        )
    pairs = zip(annotations, lacking, strict=True)
    return [replace(a, size=image_size(a.path)) if lacks else a for a, lacks in pairs]


def repeated_objects(table: AnnotationTable) -> np.ndarray:
    """Which objects have class, box and flags of an earlier one of their image, bool [M]."""
    columns = [table.image_of_object(), table.labels, table.crowd, table.difficult, *table.boxes.T]
    # Sorting all rows takes seconds for a million objects. A weighted sum of each row is sorted first: equal rows have
    # equal sums, and few others do.
    sums = np.zeros(len(table.labels))
    for weight, column in zip(_WEIGHTS, columns, strict=True):
        sums += weight * column
    by_sum = np.argsort(sums, kind="stable")
    close = np.diff(sums[by_sum]) == 0
    few = by_sum[np.append(close, False) | np.append(False, close)] if len(by_sum) > 1 else by_sum
    order = few[np.lexsort([column[few] for column in columns[::-1]])]  # stable: the first of equal objects comes first
    equal = [column[order[1:]] == column[order[:-1]] for column in columns]
    repeated = np.zeros(len(table.labels), bool)
    repeated[order[1:][np.logical_and.reduce(equal)]] = True
    return repeated


def tell_repeated(table: AnnotationTable) -> None:
    """Warn once of objects that repeat another of their image, and of images that are listed under several ids."""
    repeated = np.flatnonzero(repeated_objects(table))
    if len(repeated):
        first = table.ids[table.image_of_object()[repeated[0]]]
        logger.warning(
            "%d objects repeat another of their image (first: %s); remove them, an evaluation counts each",
            *(len(repeated), first),
        )
    paths, index = np.unique(table.paths, return_index=True)
    if len(paths) < len(table):
        again = np.setdiff1d(np.arange(len(table)), index)
        logger.warning(
            "%d images are listed under another id before (first: %s); keep one entry for each file",
            *(len(again), table.paths[again[0]]),
        )


def clean_table(table: AnnotationTable) -> AnnotationTable:
    """Clip boxes to their images and drop those without area, on which training gives NaN; one warning counts both."""
    sides = np.repeat(table.sizes[:, ::-1].astype(np.float64), np.diff(table.offsets), axis=0)  # [M, 2] width, height
    boxes = table.boxes.clip(0, np.tile(sides, 2))
    single = boxes.astype(np.float32)  # what is trained on
    has_area = (single[:, 2] > single[:, 0]) & (single[:, 3] > single[:, 1])
    changed = has_area & (boxes != table.boxes).any(1)
    bad = np.flatnonzero(changed | ~has_area)
    if not len(bad):
        return table
    image = int(table.image_of_object()[bad[0]])
    logger.warning(
        "%d boxes extend beyond their image and were clipped, %d have no area in it and were dropped (first: %s)",
        *(changed.sum(), (~has_area).sum(), f"{table.ids[image]}, object {bad[0] - table.offsets[image] + 1}"),
    )
    cleaned = take_objects(table, has_area)
    cleaned.boxes = boxes[has_area]
    return cleaned


def _flags(flags: np.ndarray, count: int) -> np.ndarray:
    flags = np.asarray(flags, bool).reshape(-1)
    if len(flags) == 0:
        return np.zeros(count, bool)
    if len(flags) != count:
        raise ValueError(f"{len(flags)} flags for {count} objects")
    return flags
