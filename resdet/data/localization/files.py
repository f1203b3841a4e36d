"""The files of the CLS-LOC task: solutions and predictions in Kaggle's form, ILSVRC's submission, the excluded images.

    write_kaggle("predictions.csv", guesses, ids, classes)               # ImageId,PredictionString
    write_ilsvrc("predictions.txt", guesses, class_ids)                  # a line an image, in the list's order
    guesses = read_predictions("predictions.csv", ids, classes)          # tells the two forms apart
    truth = read_solution("LOC_val_solution.csv", classes).truth()
    excluded = read_excluded("ILSVRC2015_clsloc_validation_blacklist.txt", ids)

`ids` are the images' names as ImageSets/CLS-LOC/val.txt lists them, in its order; `class_ids` ILSVRC's numbers of the
classes (data/classification/imagenet.read_ilsvrc_ids). A prediction is five times 'class xmin ymin xmax ymax', a synset
in Kaggle's form and a number in ILSVRC's. Pixels are counted from 0, xmax and ymax lie inside the box, fractions stay:
readers make boxes continuous by adding 1 to xmax and ymax, writers take it away. What is read back is, as float32,
what was written from float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from resdet.errors import UserError
from resdet.metrics.localization_error import MOST_GUESSES, NO_GUESS, Guesses, LocalizationTruth

_HEADER = "ImageId,PredictionString"
_TO_CONTINUOUS = np.array([0.0, 0.0, 1.0, 1.0])
_NOBODY = "0"  # ILSVRC's form has five groups a line: label 0, which is no class, where no guess was made

_Group = tuple[int, list[float]]  # label, and the box with its inclusive pixels


@dataclass
class SolutionRows:
    """A file in Kaggle's form: N rows with a box or more each, M boxes in all."""

    ids: list[str]  # [N]
    row: np.ndarray  # int64 [M], rising
    labels: np.ndarray  # int64 [M]
    boxes: np.ndarray  # float64 [M, 4], continuous

    def truth(self) -> LocalizationTruth:
        """What guesses are compared with, images in the rows' order; the class of each is its first box's.

        Boxes of other classes and those without area are left out, as by data/localization/dataset.py.
        """
        labels = self.labels[np.searchsorted(self.row, np.arange(len(self.ids)))]
        kept = (self.labels == labels[self.row]) & (self.boxes[:, 2:] > self.boxes[:, :2]).all(1)
        return LocalizationTruth(labels, self.boxes[kept], self.row[kept])


def read_solution(path: str | Path, classes: Sequence[str]) -> SolutionRows:
    """LOC_train_solution.csv or LOC_val_solution.csv, as they are.

    Args:
        path: the file, rows of any order.
        classes: synsets in the order of their labels.

    Raises:
        UserError: the file is missing or of another form; an image has two rows, or one without a box; a class is
            unknown, or a number is none.
    """
    ids: list[str] = []
    rows, labels, boxes = [], [], []
    for where, image_id, groups in _kaggle_rows(Path(path), classes):
        if not groups:
            raise UserError(f"{where}: image '{image_id}' has no 'class xmin ymin xmax ymax'; restore its row")
        rows += [len(ids)] * len(groups)
        labels += [label for label, _ in groups]
        boxes += [box for _, box in groups]
        ids.append(image_id)
    continuous = np.array(boxes, np.float64).reshape(-1, 4) + _TO_CONTINUOUS
    return SolutionRows(ids, np.array(rows, np.int64), np.array(labels, np.int64), continuous)


def read_predictions(
    path: str | Path, ids: Sequence[str], classes: Sequence[str], class_ids: np.ndarray | None = None
) -> Guesses:
    """Predictions in either form; Kaggle's is known by its first line.

    Raises:
        UserError: as of `read_kaggle` and `read_ilsvrc`; the file has ILSVRC's form and `class_ids` is None.
    """
    if _read_text(Path(path)).lstrip().startswith(_HEADER.split(",")[0]):
        return read_kaggle(path, ids, classes)
    if class_ids is None:
        raise UserError(f"{path}: has ILSVRC's form, whose class numbers only map_clsloc.txt explains; name that file")
    return read_ilsvrc(path, len(ids), class_ids)


def write_kaggle(path: str | Path, guesses: Guesses, ids: Sequence[str], classes: Sequence[str]) -> None:
    """Write a row an image with the guesses that were made.

    Raises:
        UserError: the file cannot be written.
    """
    with _create(Path(path)) as file:
        file.write(f"{_HEADER}\n")
        for image_id, groups in zip(ids, _written(guesses), strict=True):
            file.write(f"{image_id},{' '.join(f'{classes[label]} {box}' for label, box in groups)}\n")


def read_kaggle(path: str | Path, ids: Sequence[str], classes: Sequence[str]) -> Guesses:
    """Read predictions with rows of any order.

    Raises:
        UserError: the file is missing or of another form; it lacks one of `ids` or has others, or one twice; a class is
            unknown, a number is none, an image has more than five guesses.
    """
    place = {image_id: i for i, image_id in enumerate(ids)}
    found: list[Sequence[_Group] | None] = [None] * len(ids)
    for where, image_id, groups in _kaggle_rows(Path(path), classes):
        if image_id not in place:
            raise UserError(f"{where}: image '{image_id}' is not in the list; score the set that was predicted")
        found[place[image_id]] = _at_most_five(groups, where)
    absent = next((image_id for image_id, groups in zip(ids, found, strict=True) if groups is None), None)
    if absent is not None:
        raise UserError(f"{path}: has no row for image '{absent}'; write one for every image, empty without a guess")
    return _to_guesses([groups or [] for groups in found])


def write_ilsvrc(path: str | Path, guesses: Guesses, class_ids: np.ndarray) -> None:
    """Write a line an image, always five groups; where no guess was made '0 0 0 0 0', and 0 is no class.

    Raises:
        UserError: the file cannot be written.
    """
    nothing = " ".join([_NOBODY] * 5)
    with _create(Path(path)) as file:
        for groups in _written(guesses):
            made = [f"{class_ids[label]} {box}" for label, box in groups]
            file.write(" ".join(made + [nothing] * (MOST_GUESSES - len(made))) + "\n")


def read_ilsvrc(path: str | Path, images: int, class_ids: np.ndarray) -> Guesses:
    """Read a submission of so many images; lines may have fewer than five groups, of label 0 is no guess.

    Raises:
        UserError: the file is missing, or has another number of lines; a label is unknown, a number is none, an image
            has more than five guesses.
    """
    path = Path(path)
    label_of = {str(number): label for label, number in enumerate(class_ids.tolist())} | {_NOBODY: NO_GUESS}
    lines = _read_text(path).splitlines()
    if len(lines) != images:
        raise UserError(f"{path}: {len(lines)} lines for {images} images; write one for each, in the list's order")
    found = []
    for number, line in enumerate(lines, 1):
        groups = _at_most_five(_parse(line, label_of, f"{path}:{number}"), f"{path}:{number}")
        found.append([group for group in groups if group[0] != NO_GUESS])
    return _to_guesses(found)


def read_excluded(path: str | Path, ids: Sequence[str]) -> np.ndarray:
    """Which of `ids`, bool [N], are excluded from localization.

    path: one image a line, its number in the list counted from 1, as in the development kit's
        ILSVRC2015_clsloc_validation_blacklist.txt (and 2014's), or its id.

    Raises:
        UserError: the file is missing, or a line is neither a number of the list nor one of `ids`.
    """
    path, excluded = Path(path), np.zeros(len(ids), bool)
    place = {image_id: i for i, image_id in enumerate(ids)}
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        word = line.strip()
        if not word:
            continue
        index = place.get(word, int(word) - 1 if word.isdecimal() else -1)
        if not 0 <= index < len(ids):
            raise UserError(
                f"{path}:{number}: '{word}' is neither a number from 1 to {len(ids)} nor an image of the "
                "list; take the exclusions of this set"
            )
        excluded[index] = True
    return excluded


def _kaggle_rows(path: Path, classes: Sequence[str]) -> Iterator[tuple[str, str, list[_Group]]]:
    """`path:line`, the image's id and its groups."""
    label_of = {name: label for label, name in enumerate(classes)}
    lines = _read_text(path).splitlines()
    if not lines or lines[0].replace('"', "").strip() != _HEADER:
        raise UserError(f"{path}: the first line is not '{_HEADER}'; take the published form")
    seen: set[str] = set()
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        cells = line.replace('"', "").rpartition(",")  # the last comma: predictions have none
        image_id = cells[0].strip()
        if not image_id:
            raise UserError(f"{where}: {line.strip()[:60]!r} is not '{_HEADER}'; write the row again")
        if image_id in seen:
            raise UserError(f"{where}: image '{image_id}' has two rows; keep one")
        seen.add(image_id)
        yield where, image_id, _parse(cells[2], label_of, where)


def _parse(text: str, label_of: Mapping[str, int], where: str) -> list[_Group]:
    words = text.split()
    if len(words) % 5:
        raise UserError(f"{where}: {len(words)} words are no groups of 'class xmin ymin xmax ymax'; write it again")
    groups = []
    for start in range(0, len(words), 5):
        name, *numbers = words[start : start + 5]
        if name not in label_of:
            raise UserError(
                f"{where}: class '{name}' is not one of the {len(label_of.keys() - {_NOBODY})} known; "
                "the two must have the same classes"
            )
        groups.append((label_of[name], [_number(word, where) for word in numbers]))
    return groups


def _number(word: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: '{word}' is not a number; write 'class xmin ymin xmax ymax'")
    return value


def _at_most_five(groups: list[_Group], where: str) -> list[_Group]:
    if len(groups) > MOST_GUESSES:
        raise UserError(f"{where}: {len(groups)} guesses, and {MOST_GUESSES} are allowed; keep the surest")
    return groups


def _to_guesses(found: Sequence[Sequence[_Group]]) -> Guesses:
    labels = np.full((len(found), MOST_GUESSES), NO_GUESS)
    boxes = np.zeros((len(found), MOST_GUESSES, 4))
    for i, groups in enumerate(found):
        for j, (label, box) in enumerate(groups):
            labels[i, j], boxes[i, j] = label, box + _TO_CONTINUOUS
    return Guesses(labels, boxes)


def _written(guesses: Guesses) -> Iterator[list[tuple[int, str]]]:
    """Label and 'xmin ymin xmax ymax' of every guess of each image."""
    boxes = guesses.boxes.astype(np.float64) - _TO_CONTINUOUS
    for labels, corners in zip(guesses.labels.tolist(), boxes.tolist(), strict=True):
        made = zip(labels, corners, strict=True)
        yield [(label, " ".join(map(_shortest, box))) for label, box in made if label != NO_GUESS]


def _shortest(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check its name") from None
    except (UnicodeDecodeError, OSError):
        raise UserError(f"{path}: not a readable UTF-8 text file; copy it again") from None


def _create(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
