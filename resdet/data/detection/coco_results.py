"""Results in the form of COCO's evaluation server: a JSON list of image_id, category_id, bbox and score.

write_results("results.json", dataset, detections)
detections = read_results("results.json", dataset)
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from resdet.data.detection.coco import COCODataset
from resdet.data.detection.coco_json import read_result_records
from resdet.data.detection.coco_records import Result
from resdet.data.detection.coco_values import (
    IdIndex,
    MalformedError,
    box_of,
    finite,
    four_numbers,
    plain_numbers,
    record_id,
)
from resdet.data.detection.usable import refuse_result_corners
from resdet.data.text_files import quoted
from resdet.errors import UserError
from resdet.metrics.coco_ap import CocoDetections
from resdet.metrics.flat import FlatDetections
from resdet.whole_files import whole_file

logger = logging.getLogger("resdet")


def write_results(path: str | Path, dataset: COCODataset, detections: FlatDetections) -> None:
    """Write detections in the form of COCO's evaluation server, coordinates rounded to 0.01 pixels.

    Detections are written one by one, so that memory does not grow with their number. Those of classes that the data
    set's files do not have are left out, with one warning: they have no category there.

    Args:
        path: the file.
        dataset: gives the ids of images and categories, which are written as its files have them.
        detections: `image` indexes the data set.
    """
    images = [json.dumps(number) for number in dataset.image_numbers.tolist()]
    categories = [json.dumps(number) for number in dataset.category_ids.tolist()]
    known = np.array([name not in dataset.absent for name in dataset.classes], bool)[detections.label]
    if not known.all():
        logger.warning("%d detections are of classes that %s lacks: not written", (~known).sum(), dataset.files[0])
    boxes = detections.box.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    rows = zip(
        detections.image[known].tolist(), detections.label[known].tolist(), boxes[known].tolist(),
        detections.score[known].tolist(), strict=True,
    )  # fmt: skip
    separator = "["
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for image, label, box, score in rows:
            ids = f'"image_id": {images[image]}, "category_id": {categories[label]}'
            file.write(f'{separator}{{{ids}, "bbox": {[round(v, 2) for v in box]}, "score": {score}}}')
            separator = ",\n"
        file.write("]\n" if separator != "[" else "[]\n")


def read_results(path: str | Path, dataset: COCODataset) -> CocoDetections:
    """Read a results file.

    Args:
        path: the file.
        dataset: the images and categories that results can refer to.

    Returns:
        Detections with float64 scores and boxes; `image` indexes the data set.

    Raises:
        UserError: no such file, not JSON, a malformed record, one of an unknown image or category, or boxes that are
            corners.
    """
    path = Path(path)
    records = read_result_records(path)
    score, box = _scores(path, records), _boxes(path, records)
    image = _references(path, records, "image_id", dataset.image_numbers, dataset)
    label = _references(path, records, "category_id", dataset.category_ids, dataset)
    size = box[:, 2:].copy()
    box[:, 2:] += box[:, :2]
    refuse_result_corners(box, dataset.table.sizes[image], path)
    return CocoDetections(image, label, score, box, size)


def _scores(path: Path, records: Sequence[Result]) -> np.ndarray:
    scores = plain_numbers(list(map(attrgetter("score"), records)))
    if scores is None or not np.isfinite(scores).all():
        scores = np.array([finite(record.score) for record in records], np.float64)
    if np.isnan(scores).any():
        _refuse(path, int(np.isnan(scores).argmax()))
    return scores


def _boxes(path: Path, records: Sequence[Result]) -> np.ndarray:
    boxes = four_numbers(list(map(attrgetter("bbox"), records)))
    if boxes is not None:
        return boxes
    found = []
    for row, record in enumerate(records):
        try:
            found.append(box_of(record.bbox))
        except MalformedError:
            _refuse(path, row)
    return np.array(found, np.float64).reshape(-1, 4)


def _references(
    path: Path, records: Sequence[Result], key: str, listed: np.ndarray, dataset: COCODataset
) -> np.ndarray:
    """The position of each result's image or category in `listed`, int64 [D]."""
    values = list(map(attrgetter(key), records))
    index = IdIndex(listed.tolist())
    rows = index.rows(values) if set(map(type, values)) <= {int} else index.rows([_id_or_none(v) for v in values])
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        row = int(missing[0])
        if values[row] is None:
            _refuse(path, row)
        what = f"{key.removesuffix('_id')} {quoted(values[row])}"
        raise UserError(f"{path}: result {row + 1} is of {what}, which {dataset.files[0]} does not have")
    return rows


def _id_or_none(value: Any) -> Any:
    try:
        return record_id(value, "id")
    except MalformedError:
        return None


def _refuse(path: Path, row: int) -> NoReturn:
    raise UserError(
        f"{path}: result {row + 1} is not image_id, category_id, bbox of four numbers and score; write it again"
    )
