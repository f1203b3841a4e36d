"""PASCAL VOC data sets of one or several years.

    dataset = VOCDataset("data/VOCdevkit", [("2007", "trainval"), ("2012", "trainval")])
    fruit = VOCDataset("data/VOCdevkit", [("fruit", "test")], classes=None)         # classes from the annotations

The layout is the devkit's: ROOT/VOC<year>/{Annotations,JPEGImages,ImageSets/Main}, where the year may be any suffix.
Other tools' layouts of the same files are read as well, see data/detection/voc_files.py:

    cvat = VOCDataset("data/export", [("", "default")], classes=None)               # ROOT/{Annotations,JPEGImages,...}
    roboflow = VOCDataset("data/export", [("train", "*")], classes=None)            # ROOT/train/*.jpg, *.xml
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from resdet.data.detection.annotations import DetectionDataset, build_table, take_objects
from resdet.data.detection.usable import ROTATED
from resdet.data.detection.voc_files import find_voc_files
from resdet.data.detection.voc_xml import VOCRecord, read_record
from resdet.data.images import image_size
from resdet.data.text_files import check_class_names, named_classes, quoted
from resdet.errors import UserError

logger = logging.getLogger("resdet")

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


class VOCDataset(DetectionDataset):
    """One or several image sets in VOC layout, concatenated (VOC 07+12).

    Args:
        root: the folder that holds VOC2007, VOC2012, ...
        splits: (year, image set) pairs; the year is what follows "VOC" in the folder's name, or the name of another
            folder, "" for the root itself. The image set "*" has all images with an xml file and needs no list,
            "train/*" those with an xml file in the folder "train" of the annotations.
        classes: names in the order of their labels; None takes the sorted names found in the annotations.
        keep_difficult: False leaves out the objects marked difficult (the authors' training). Keep them for testing,
            where they count neither as hits nor as misses.
        annotated: False for sets whose annotations are not public (VOC 2012 test): no xml is read, no image has
            objects.

    An id may have blanks and sub-folders. Sizes missing from an annotation are read from the image's header, boxes are
    clipped to the image, boxes without area are dropped, and repeated objects are kept; each of these gives one warning
    with a count, on the logger "resdet".

    Raises:
        UserError: a missing or malformed file, an empty image set, an id given twice, a class that is not in `classes`,
            no object from which classes could be inferred.
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
        source = f"{root}, {', '.join(f'{year} {image_set}'.strip() for year, image_set in splits)}"
        names = named_classes(classes, source)
        records = [r for year, image_set in splits for r in _read_split(root, year, image_set, annotated)]
        _refuse_repeated_ids(records)
        _tell_rotated(records)
        if names is None:
            names = _infer_classes(records, source)
        table = build_table([record.to_annotation(names) for record in records], source)
        super().__init__(names, table if keep_difficult else take_objects(table, ~table.difficult))


def _read_split(root: Path, year: str, image_set: str, annotated: bool) -> list[VOCRecord]:
    files = find_voc_files(root, year, image_set)
    records = []
    for image_id in files.ids(image_set):
        image = files.image(image_id, image_set)
        if annotated:
            record = read_record(files.annotation(image_id, image_set))
        else:
            record = _without_objects(files.xml_of(image_id), image)
        records.append(replace(record, id=image_id, filename=str(image)))
    return records


def _without_objects(xml: Path, image: Path) -> VOCRecord:
    return VOCRecord(xml, "", "", image_size(image), [], np.zeros((0, 4)), np.zeros(0, bool))


def _infer_classes(records: Sequence[VOCRecord], source: str) -> tuple[str, ...]:
    names = tuple(sorted({name for record in records for name in record.names}))
    if not names:
        raise UserError(f"{source}: no annotation has an object that tells the classes; annotate some, or give classes")
    xml_of = {name: record.source for record in reversed(records) for name in record.names}
    for name in names:
        check_class_names([name], xml_of[name])
    return names


def _tell_rotated(records: Sequence[VOCRecord]) -> None:
    rotated = [record for record in records if record.rotated]
    if rotated:
        logger.warning("%d objects %s (first: %s)", sum(r.rotated for r in rotated), ROTATED, rotated[0].source)


def _refuse_repeated_ids(records: list[VOCRecord]) -> None:
    seen: dict[str, Path] = {}
    for record in records:
        first = seen.setdefault(record.id, record.source)
        if first is not record.source:
            raise UserError(id_twice(record.id, record.source, first))


def id_twice(image_id: str, xml: Path, first: Path) -> str:
    """What is wrong with an id that two annotations have, or one that is in two image sets, for messages."""
    if xml == first:
        return f"{xml}: image {quoted(image_id)} is in the chosen image sets twice; keep one, or choose other sets"
    return (
        f"{xml}: another image has the id {quoted(image_id)} ({first}), and results tell images by their ids; rename "
        "the image and its xml file"
    )
