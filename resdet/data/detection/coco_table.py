"""Files of COCO instances joined to one table of annotations, and to the ground truth that evaluations use."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from resdet.data.detection.annotations import AnnotationTable
from resdet.data.detection.coco_file import CocoFile
from resdet.data.image_files import is_uploaded, leads_up, resolve_image
from resdet.data.images import image_size
from resdet.data.text_files import is_folder
from resdet.errors import UserError

_PLAIN_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)  # means one file on every system
logger = logging.getLogger("resdet")


@dataclass
class CocoTruth:
    """M objects with what the file says of them, for evaluations: neither clipped nor left out without area."""

    image_numbers: np.ndarray  # [N], the file's ids of all images
    image: np.ndarray  # int64 [M], index into image_numbers
    label: np.ndarray  # int64 [M]
    box: np.ndarray  # float64 [M, 4], x, y, width, height
    area: np.ndarray  # float64 [M]
    crowd: np.ndarray  # bool [M]


def join_truth(contents: Sequence[CocoFile], labels: Sequence[np.ndarray], image_numbers: np.ndarray) -> CocoTruth:
    """The objects of all files whose categories have a label, the images of the files one after another.

    Args:
        contents: of the files.
        labels: for each file the labels of its categories, -1 for none.
        image_numbers: [N], the ids of all files' images.
    """
    counts = np.concatenate([np.diff(content.offsets) for content in contents])
    label = np.concatenate([own[content.categories] for own, content in zip(labels, contents, strict=True)])
    columns = [
        np.repeat(np.arange(len(image_numbers)), counts),
        label,
        *(np.concatenate([getattr(content, name) for content in contents]) for name in ("boxes", "areas", "crowd")),
    ]
    chosen = label >= 0
    return CocoTruth(image_numbers, *(columns if chosen.all() else [column[chosen] for column in columns]))


def table_of(truth: CocoTruth, paths: Sequence[str], sizes: np.ndarray) -> AnnotationTable:
    """The annotations of all images, with boxes as corners.

    Args:
        truth: the objects.
        paths: [N], of the images.
        sizes: int64 [N, 2], (height, width).
    """
    table = AnnotationTable([])
    table.paths = np.array(paths, np.str_)
    table.ids = np.array([str(number) for number in truth.image_numbers.tolist()], np.str_)
    table.sizes = sizes.astype(np.int32)
    counts = np.bincount(truth.image, minlength=len(paths))
    table.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    table.boxes = np.concatenate([truth.box[:, :2], truth.box[:, :2] + truth.box[:, 2:]], 1)
    table.labels, table.crowd, table.difficult = truth.label, truth.crowd, np.zeros(len(truth.label), bool)
    return table


def image_paths(root: Path, folder: Path, file: Path, content: CocoFile) -> Iterator[str]:
    """The path of each image of a file.

    Args:
        root: of the data set, which names do not lead out of.
        folder: of the images.
        file: the JSON file, for messages.
        content: of the file.

    Raises:
        UserError: an image has no file name, or one that leads out of the root.
    """

    @cache
    def is_there(subfolder: str) -> bool:
        return is_folder(folder / subfolder)

    for number, name in zip(content.image_ids.tolist(), content.names.tolist(), strict=True):
        if _PLAIN_NAME.fullmatch(name) and is_there(name.rpartition("/")[0]):
            yield f"{folder}/{name}"
        else:
            yield image_path(root, folder, f"{file}: image {number}", name)


def image_path(root: Path, folder: Path, where: str, name: str) -> str:
    """The path of one image, written on any system: with backslashes, absolute, or through other folders of the root.

    Raises:
        UserError: there is no name, or it leads out of the root.
    """
    if not name:
        raise UserError(f"{where} has no 'file_name'; correct it")
    if not leads_up(name) or is_uploaded(name):
        return str(resolve_image(folder, name, where))
    return str(resolve_image(root, os.path.join(os.path.relpath(folder, root), name.replace("\\", "/")), where))


def complete_table_sizes(table: AnnotationTable) -> None:
    """Read the sizes that are 0 from the images' headers; one warning counts them.

    Raises:
        UserError: a header cannot be read.
    """
    unknown = np.flatnonzero((table.sizes <= 0).any(1))
    if not len(unknown):
        return
    logger.warning(
        "%d of %d annotations have no image size (first: %s): read from the image headers",
        *(len(unknown), len(table), table.ids[unknown[0]]),
    )
    for row in unknown.tolist():
        table.sizes[row] = image_size(str(table.paths[row]))


def enclose_boxes(table: AnnotationTable) -> None:
    """Take images of unknown size, whose files are not at hand, to be as large as their boxes need."""
    for row in np.flatnonzero((table.sizes <= 0).any(1)).tolist():
        right, bottom = table.boxes[table.objects(row)][:, 2:].max(0, initial=1).tolist()
        table.sizes[row] = math.ceil(bottom), math.ceil(right)


def tell_crowds(file: Path, crowd: np.ndarray) -> None:
    """Warn of a set whose objects are all crowds, bool [M], which are neither learned nor scored."""
    if len(crowd) and crowd.all():
        logger.warning(
            "%s: all %d objects are crowds, which are neither learned nor scored; correct 'iscrowd'",
            *(file, len(crowd)),
        )
