"""PASCAL VOC data sets of one or several years.

    dataset = VOCDataset("data/VOCdevkit", [("2007", "trainval"), ("2012", "trainval")])
    fruit = VOCDataset("data/VOCdevkit", [("fruit", "test")], classes=None)         # classes from the annotations

The layout is the devkit's: ROOT/VOC<year>/{Annotations,JPEGImages,ImageSets/Main}, where the year may be any suffix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from resdet.data.detection.annotations import AnnotationTable, DetectionDataset, clean_boxes, complete_sizes
from resdet.data.detection.voc_xml import REMEDY, VOCRecord, read_record
from resdet.data.images import image_size
from resdet.data.text_files import read_text
from resdet.errors import UserError

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")  # compared in lower case; of several files the first suffix is taken
_ABSENT = -1  # second column of the per-class image sets: the class is not in the image


class VOCDataset(DetectionDataset):
    """One or several image sets in VOC layout, concatenated (VOC 07+12).

    Args:
        root: the folder that holds VOC2007, VOC2012, ...
        splits: (year, image set) pairs; the year is what follows "VOC" in the folder's name.
        classes: names in the order of their labels; None takes the sorted names found in the annotations.
        keep_difficult: False leaves out the objects marked difficult (the authors' training). Keep them for testing,
            where they count neither as hits nor as misses.
        annotated: False for sets whose annotations are not public (VOC 2012 test): no xml is read, no image has
            objects.

    Sizes missing from an annotation are read from the image's header, boxes are clipped to the image, and boxes without
    area are dropped; each of these gives one warning with a count, on the logger "resdet".

    Raises:
        UserError: a missing or malformed file, an empty image set, an id given twice, a class that is not in `classes`.
    """

    def __init__(
        self,
        root: str | Path,
        splits: Sequence[tuple[str, str]],
        classes: Sequence[str] | None = VOC_CLASSES,
        keep_difficult: bool = True,
        annotated: bool = True,
    ) -> None:
        root = Path(root)
        records = [r for year, image_set in splits for r in _read_split(root, year, image_set, annotated)]
        _refuse_repeated_ids(records)
        if classes is None:
            classes = sorted({name for record in records for name in record.names})
        annotations = [record.to_annotation(classes) for record in records]
        annotations = clean_boxes(complete_sizes(annotations))
        if not keep_difficult:
            annotations = [a.keep(~a.difficult) for a in annotations]
        super().__init__(classes, AnnotationTable(annotations))


def read_image_set(path: str | Path) -> list[str]:
    """Read the image ids of an image set, one per line.

    The per-class files have a second column ("000012 -1"): images with -1, which lack the class, are left out; images
    with 0, where all objects of the class are difficult, are kept.

    Raises:
        UserError: the file is missing or lists no image, or a line has another form.
    """
    ids = []
    for number, line in enumerate(read_text(path, REMEDY).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) > 2 or (len(words) == 2 and words[1] not in ("-1", "0", "1")):
            raise UserError(f"{path}:{number}: {line.strip()!r} is not 'id' or 'id -1|0|1'; ids cannot contain spaces")
        if len(words) == 1 or int(words[1]) != _ABSENT:
            ids.append(words[0])
    if not ids:
        raise UserError(f"{path}: no image in this image set; list one id per line, without suffix")
    return ids


def images_by_id(folder: Path) -> dict[str, Path]:
    """Image files by their names without suffix.

    The annotations' <filename> is not used: in practice it may lack the suffix or name another file.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; put the images there")
    found: dict[str, Path] = {}
    files = [path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES]
    for path in sorted(files, key=lambda p: (_IMAGE_SUFFIXES.index(p.suffix.lower()), p.name)):
        found.setdefault(path.stem, path)
    return found


def _read_split(root: Path, year: str, image_set: str, annotated: bool) -> list[VOCRecord]:
    folder = root / f"VOC{year}"
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; the root must hold VOC{year}/{{Annotations,JPEGImages,ImageSets}}")
    ids = read_image_set(folder / "ImageSets" / "Main" / f"{image_set}.txt")
    images = images_by_id(folder / "JPEGImages")
    records = []
    for image_id in ids:
        if image_id not in images:
            listed = f"listed in ImageSets/Main/{image_set}.txt"
            raise UserError(f"{folder / 'JPEGImages' / image_id}.jpg: no such image, but it is {listed}; restore it")
        xml, image = folder / "Annotations" / f"{image_id}.xml", images[image_id]
        records.append(replace(read_record(xml), filename=str(image)) if annotated else _without_objects(xml, image))
    return records


def _without_objects(xml: Path, image: Path) -> VOCRecord:
    return VOCRecord(xml, str(image), image_size(image), [], np.zeros((0, 4)), np.zeros(0, bool))


def _refuse_repeated_ids(records: list[VOCRecord]) -> None:
    seen: dict[str, Path] = {}
    for record in records:
        first = seen.setdefault(record.source.stem, record.source)
        if first is not record.source:
            raise UserError(
                f"{record.source}: image {record.source.stem!r} is in the chosen image sets twice (first {first}); "
                "choose image sets that do not overlap"
            )
