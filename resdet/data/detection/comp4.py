"""VOC's result files, comp4_det_<set>_<class>.txt, and the archive that its evaluation server takes.

    write_comp4("results", "test", dataset.classes, ids, detections)
    detections = read_comp4("results", "test", dataset.classes, ids)

A line is `id score xmin ymin xmax ymax` with 1-based inclusive pixels; in memory boxes are continuous. An id may have
blanks.
"""

from __future__ import annotations

import math
import re
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.detection.voc_xml import REMEDY, TO_CONTINUOUS
from resdet.data.text_files import is_file, number_or_nan, quoted, read_lines
from resdet.errors import UserError
from resdet.metrics.flat import FlatDetections
from resdet.whole_files import whole_file, whole_folder

_SURROGATE = re.compile(r"[\ud800-\udfff]")  # what no encoding has: bytes of a file name that are not UTF-8
ROUNDING = 1e-2  # pixels by which the right side of an empty box may lie left of the left one
FARTHEST = 1e7  # pixels; no box lies beyond


def comp4_path(directory: str | Path, image_set: str, name: str) -> Path:
    """The file in which VOC's devkit expects the detections of one class.

    Characters that cannot be in the name of a file are written as in a URL: "w/o helmet" becomes "w%2Fo helmet".
    """
    return Path(directory) / f"comp4_det_{_as_file_name(image_set)}_{_as_file_name(name)}.txt"


def write_comp4(
    directory: str | Path, image_set: str, classes: Sequence[str], ids: Sequence[str], detections: FlatDetections
) -> None:
    """Write one file per class; a class without detections gets an empty file, because the devkit expects all of them.

    float32 detections are read back exactly, except for coordinates closer to 0 than 1e-8.

    Args:
        directory: created if missing. Its files appear when all are written; after an error there are none of them.
        image_set: name of the image set, such as "test".
        classes: names of the labels.
        ids: image ids; `detections.image` indexes them.
        detections: of all images.

    Raises:
        UserError: an id cannot stand in a line of a text file.
    """
    _check_ids(ids)
    boxes = detections.box.astype(np.float64) - TO_CONTINUOUS
    with whole_folder(directory) as folder:
        for label, name in enumerate(classes):
            rows = np.flatnonzero(detections.label == label)
            # str of a NumPy scalar has the fewest digits that give the same float32 (or float64) back.
            lines = [
                f"{ids[image]} {score!s} {x1!r} {y1!r} {x2!r} {y2!r}\n"
                for image, score, (x1, y1, x2, y2) in zip(
                    detections.image[rows].tolist(), detections.score[rows], boxes[rows].tolist(), strict=True
                )
            ]
            comp4_path(folder, image_set, name).write_text("".join(lines), encoding="utf-8")


def _check_ids(ids: Sequence[str]) -> None:
    """Refuse ids with a line break, empty ones, and those that are not UTF-8."""
    for name in ids:
        if name.splitlines() != [name] or _SURROGATE.search(name):
            raise UserError(f"image {quoted(name)} does not fit into a line of UTF-8 text; rename it")


def write_comp4_archive(
    path: str | Path, year: str, image_set: str, classes: Sequence[str], ids: Sequence[str], detections: FlatDetections
) -> None:
    """Write the .tar.gz that VOC's evaluation server takes: results/VOC<year>/Main/ with the files of `write_comp4`.

    Args:
        path: the archive.
        year: what follows "VOC" in the folder's name.
        image_set, classes, ids, detections: see `write_comp4`.
    """
    inside = f"results/VOC{year}/Main"
    with tempfile.TemporaryDirectory() as folder:
        write_comp4(Path(folder) / inside, image_set, classes, ids, detections)
        with whole_file(path) as partial, tarfile.open(partial, "w:gz") as archive:
            archive.add(Path(folder) / "results", "results")


def read_comp4(directory: str | Path, image_set: str, classes: Sequence[str], ids: Sequence[str]) -> FlatDetections:
    """Read the files of all classes.

    Args:
        directory, image_set, classes: see `write_comp4`.
        ids: image ids; `image` of the result indexes them.

    Returns:
        Detections with float64 scores and boxes, boxes continuous.

    Raises:
        UserError: the file of a class is missing, a line is malformed, or an id is not one of `ids`.
    """
    index = {str(image_id): number for number, image_id in enumerate(ids)}
    images: list[int] = []
    labels: list[int] = []
    numbers: list[list[float]] = []
    for label, name in enumerate(classes):
        path = comp4_path(directory, image_set, name)
        if not is_file(path):
            raise UserError(
                f"{path}: no detections of class {quoted(name)}; write the file, empty if nothing was detected"
            )
        for where, line in read_lines(path, REMEDY):
            image, row = _parse_detection(line, index, where)
            images.append(image)
            numbers.append(row)
        labels += [label] * (len(images) - len(labels))
    table = np.array(numbers, np.float64).reshape(-1, 5)
    return FlatDetections(np.array(images), np.array(labels), table[:, 0], table[:, 1:] + TO_CONTINUOUS)


def _parse_detection(line: str, index: dict[str, int], where: str) -> tuple[int, list[float]]:
    """The image's index, and score and corners."""
    words = line.rsplit(maxsplit=5)  # the id may have blanks
    row = [number_or_nan(word) for word in words[1:]]
    if len(row) != 5 or not all(map(math.isfinite, row)):
        raise UserError(f"{where}: {quoted(line)} is not 'id score xmin ymin xmax ymax'; write the file again")
    _, x1, y1, x2, y2 = row
    if min(x2 - x1, y2 - y1) < -1 - ROUNDING or max(map(abs, row[1:])) > FARTHEST:  # pixels are inclusive
        raise UserError(f"{where}: {quoted(line)} has no box xmin ymin xmax ymax in pixels; write the file again")
    if words[0] not in index:
        raise UserError(
            f"{where}: image {quoted(words[0])} is not in the image set; score the set that was detected on"
        )
    return index[words[0]], row


def _as_file_name(text: str) -> str:
    return re.sub(r"[%/\\\x00-\x1f]", lambda found: f"%{ord(found[0]):02X}", text)
