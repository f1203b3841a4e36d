"""Files of the CLS-LOC task: solutions and predictions in Kaggle's format, ILSVRC's submissions, excluded images.

    write_kaggle("predictions.csv", guesses, ids, classes)               # ImageId,PredictionString
    write_ilsvrc("predictions.txt", guesses, class_ids)                  # one line per image, in the list's order
    guesses = read_predictions("predictions.csv", ids, classes)          # recognizes the format
    truth = read_solution("LOC_val_solution.csv", classes).truth()
    excluded = read_excluded("ILSVRC2015_clsloc_validation_blacklist.txt", ids)

`ids` are the images' names in ImageSets/CLS-LOC/val.txt, in its order; `class_ids` are ILSVRC's class numbers
(data/classification/imagenet.read_ilsvrc_ids). A prediction is up to five times 'class xmin ymin xmax ymax', where the
class is a synset in Kaggle's format and a number in ILSVRC's. The files' boxes are 0-based and inclusive, possibly with
fractions: readers add 1 to xmax and ymax to make them continuous, writers subtract it. float32 boxes are read back
exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from resdet.data.text_files import finite_number, quoted, read_lines, read_text, shortest, split_lines, whole_number
from resdet.errors import UserError
from resdet.metrics.localization_error import MOST_GUESSES, NO_GUESS, Guesses, LocalizationTruth
from resdet.whole_files import whole_file

_HEADER = "ImageId,PredictionString"
_TO_CONTINUOUS = np.array([0.0, 0.0, 1.0, 1.0])
_REMEDY = "write 'class xmin ymin xmax ymax'"
_NO_CLASS = "0"  # ILSVRC's lines have five groups; missing guesses get label 0, which is no class

_Group = tuple[int, list[float]]  # label and inclusive box


@dataclass
class SolutionRows:
    """A solution in Kaggle's format: N rows with at least one box each, M boxes in all."""

    ids: list[str]  # [N]
    row: np.ndarray  # int64 [M], row of each box, ascending
    labels: np.ndarray  # int64 [M]
    boxes: np.ndarray  # float64 [M, 4], continuous

    def truth(self) -> LocalizationTruth:
        """Classes and boxes that guesses are evaluated against, images in the rows' order.

        An image's class is that of its first box. Boxes of other classes and boxes without area are removed, as
        LocalizationDataset does.
        """
        labels = self.labels[np.searchsorted(self.row, np.arange(len(self.ids)))]
        kept = (self.labels == labels[self.row]) & (self.boxes[:, 2:] > self.boxes[:, :2]).all(1)
        return LocalizationTruth(labels, self.boxes[kept], self.row[kept])


def read_solution(path: str | Path, classes: Sequence[str]) -> SolutionRows:
    """Read LOC_train_solution.csv or LOC_val_solution.csv.

    Args:
        path: the file, rows in any order.
        classes: synsets in the order of their labels.

    Raises:
        UserError: the file is missing or malformed; an image has two rows, or one without a box; a class is unknown.
    """
    ids: list[str] = []
    rows, labels, boxes = [], [], []
    for where, image_id, groups in _kaggle_rows(Path(path), classes):
        if not groups:
            raise UserError(f"{where}: image {quoted(image_id)} has no 'class xmin ymin xmax ymax'; restore its row")
        rows += [len(ids)] * len(groups)
        labels += [label for label, _ in groups]
        boxes += [box for _, box in groups]
        ids.append(image_id)
    continuous = np.array(boxes, np.float64).reshape(-1, 4) + _TO_CONTINUOUS
    return SolutionRows(ids, np.array(rows, np.int64), np.array(labels, np.int64), continuous)


def read_predictions(
    path: str | Path, ids: Sequence[str], classes: Sequence[str], class_ids: np.ndarray | None = None
) -> Guesses:
    """Read predictions in either format; Kaggle's is recognized by its first line.

    Args:
        path: the file.
        ids: of the N images in the list's order.
        classes: synsets in the order of their labels.
        class_ids: ILSVRC's class numbers, int64 [K]; needed for ILSVRC's format only.

    Raises:
        UserError: the file is missing or malformed (see `read_kaggle` and `read_ilsvrc`), or it has ILSVRC's format
            and `class_ids` is None.
    """
    if read_text(path).lstrip().startswith(_HEADER.split(",")[0]):
        return read_kaggle(path, ids, classes)
    if class_ids is None:
        raise UserError(f"{path}: has ILSVRC's format; give map_clsloc.txt too, which defines its class numbers")
    return read_ilsvrc(path, len(ids), class_ids)


def write_kaggle(path: str | Path, guesses: Guesses, ids: Sequence[str], classes: Sequence[str]) -> None:
    """Write predictions in Kaggle's format, a row per image.

    Args:
        path: the file.
        guesses: of N images.
        ids: of the images.
        classes: synsets in the order of their labels.

    Raises:
        UserError: the file cannot be written.
    """
    with _create(Path(path)) as file:
        file.write(f"{_HEADER}\n")
        for image_id, groups in zip(ids, _written(guesses), strict=True):
            file.write(f"{image_id},{' '.join(f'{classes[label]} {box}' for label, box in groups)}\n")


def read_kaggle(path: str | Path, ids: Sequence[str], classes: Sequence[str]) -> Guesses:
    """Read predictions in Kaggle's format, rows in any order.

    Args:
        path: the file.
        ids: of the N images; guesses are returned in this order.
        classes: synsets in the order of their labels.

    Raises:
        UserError: the file is missing or malformed; an image is missing, unknown or repeated; a class is unknown; an
            image has more than five guesses.
    """
    place = {image_id: i for i, image_id in enumerate(ids)}
    found: list[Sequence[_Group] | None] = [None] * len(ids)
    for where, image_id, groups in _kaggle_rows(Path(path), classes):
        if image_id not in place:
            raise UserError(
                f"{where}: image {quoted(image_id)} is not in the list; evaluate on the set that was predicted"
            )
        found[place[image_id]] = _at_most_five(groups, where)
    absent = next((image_id for image_id, groups in zip(ids, found, strict=True) if groups is None), None)
    if absent is not None:
        raise UserError(
            f"{path}: has no row for image {quoted(absent)}; write one per image, empty if there is no guess"
        )
    return _to_guesses([groups or [] for groups in found])


def write_ilsvrc(path: str | Path, guesses: Guesses, class_ids: np.ndarray) -> None:
    """Write predictions in ILSVRC's format, a line of five groups per image, '0 0 0 0 0' for a missing guess.

    Args:
        path: the file.
        guesses: of N images, in the list's order.
        class_ids: ILSVRC's class numbers, int64 [K].

    Raises:
        UserError: the file cannot be written.
    """
    nothing = " ".join([_NO_CLASS] * 5)
    with _create(Path(path)) as file:
        for groups in _written(guesses):
            made = [f"{class_ids[label]} {box}" for label, box in groups]
            file.write(" ".join(made + [nothing] * (MOST_GUESSES - len(made))) + "\n")


def read_ilsvrc(path: str | Path, images: int, class_ids: np.ndarray) -> Guesses:
    """Read predictions in ILSVRC's format; lines may have fewer than five groups, label 0 is a missing guess.

    Args:
        path: the file.
        images: number of lines that the file must have.
        class_ids: ILSVRC's class numbers, int64 [K].

    Raises:
        UserError: the file is missing, malformed, or has another number of lines; a label is unknown; an image has more
            than five guesses.
    """
    path = Path(path)
    label_of = {str(number): label for label, number in enumerate(class_ids.tolist())} | {_NO_CLASS: NO_GUESS}
    lines = split_lines(read_text(path))
    if len(lines) != images:
        raise UserError(f"{path}: {len(lines)} lines for {images} images; write one for each, in the list's order")
    found = []
    for number, line in enumerate(lines, 1):
        groups = _at_most_five(_parse(line, label_of, f"{path}:{number}"), f"{path}:{number}")
        found.append([group for group in groups if group[0] != NO_GUESS])
    return _to_guesses(found)


def read_excluded(path: str | Path, ids: Sequence[str]) -> np.ndarray:
    """Read which images are excluded from the evaluation of localization.

    Args:
        path: one image per line, by its 1-based number in the list, as in the development kit's
            ILSVRC2015_clsloc_validation_blacklist.txt (and 2014's), or by its id.
        ids: of the N images in the list's order.

    Returns:
        bool [N].

    Raises:
        UserError: the file is missing, or a line is neither a number of the list nor one of `ids`.
    """
    path, excluded = Path(path), np.zeros(len(ids), bool)
    place = {image_id: i for i, image_id in enumerate(ids)}
    for where, word in read_lines(path):
        index = place.get(word, (whole_number(word) or 0) - 1)
        if not 0 <= index < len(ids):
            raise UserError(
                f"{where}: {quoted(word)} is neither a number from 1 to {len(ids)} nor an image of the "
                "list; use the exclusions of this image set"
            )
        excluded[index] = True
    return excluded


def _kaggle_rows(path: Path, classes: Sequence[str]) -> Iterator[tuple[str, str, list[_Group]]]:
    """`path:line`, image id and groups of each row."""
    label_of = {name: label for label, name in enumerate(classes)}
    lines = split_lines(read_text(path))
    if not lines or lines[0].replace('"', "").strip() != _HEADER:
        raise UserError(f"{path}: the first line is not '{_HEADER}'; use the published format")
    seen: set[str] = set()
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        cells = line.replace('"', "").rpartition(",")  # the last comma: predictions contain none
        image_id = cells[0].strip()
        if not image_id:
            raise UserError(f"{where}: {quoted(line.strip())} is not '{_HEADER}'; write the row again")
        if image_id in seen:
            raise UserError(f"{where}: image {quoted(image_id)} has two rows; keep one")
        seen.add(image_id)
        yield where, image_id, _parse(cells[2], label_of, where)


def _parse(text: str, label_of: Mapping[str, int], where: str) -> list[_Group]:
    words = text.split()
    if len(words) % 5:
        raise UserError(
            f"{where}: {len(words)} words are not groups of 'class xmin ymin xmax ymax'; write the row again"
        )
    groups = []
    for start in range(0, len(words), 5):
        name, *numbers = words[start : start + 5]
        if name not in label_of:
            raise UserError(
                f"{where}: class {quoted(name)} is not one of the {len(label_of.keys() - {_NO_CLASS})} known; "
                "the two must have the same classes"
            )
        groups.append((label_of[name], [finite_number(word, where, _REMEDY) for word in numbers]))
    return groups


def _at_most_five(groups: list[_Group], where: str) -> list[_Group]:
    if len(groups) > MOST_GUESSES:
        raise UserError(f"{where}: {len(groups)} guesses, but only {MOST_GUESSES} are allowed; keep the most confident")
    return groups


def _to_guesses(found: Sequence[Sequence[_Group]]) -> Guesses:
    labels = np.full((len(found), MOST_GUESSES), NO_GUESS)
    boxes = np.zeros((len(found), MOST_GUESSES, 4))
    for i, groups in enumerate(found):
        for j, (label, box) in enumerate(groups):
            labels[i, j], boxes[i, j] = label, box + _TO_CONTINUOUS
    return Guesses(labels, boxes)


def _written(guesses: Guesses) -> Iterator[list[tuple[int, str]]]:
    """Label and 'xmin ymin xmax ymax' of each image's guesses."""
    boxes = guesses.boxes.astype(np.float64) - _TO_CONTINUOUS
    for labels, corners in zip(guesses.labels.tolist(), boxes.tolist(), strict=True):
        made = zip(labels, corners, strict=True)
        yield [(label, " ".join(map(shortest, box))) for label, box in made if label != NO_GUESS]


@contextmanager
def _create(path: Path) -> Iterator[TextIO]:
    try:
        with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
