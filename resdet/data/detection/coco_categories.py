"""The classes of one or several COCO files: their categories by name, whatever ids and order each file gives them.

found = find_classes([(path, file), ...], classes=None)
found.names, found.ids                       # of the labels
found.labels[0][file.categories]             # the label of each object of the first file; -1 for other categories
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resdet.data.detection.coco_file import CocoFile
from resdet.data.detection.coco_values import Id, same_id
from resdet.data.text_files import check_class_names, quoted
from resdet.errors import UserError, did_you_mean

logger = logging.getLogger("resdet")
Files = Sequence[tuple[Path, CocoFile]]


@dataclass
class Classes:
    """The labels 0..K-1 of a data set, and what they are in each of its files."""

    names: tuple[str, ...]  # [K]
    ids: list[Id]  # [K], the id in the first file that has the class; for one that none has, an id that none uses
    absent: tuple[str, ...]  # names that no file has
    labels: list[np.ndarray]  # for each file int64 [its categories], -1 for those that are not chosen


def find_classes(files: Files, classes: Sequence[str] | None) -> Classes:
    """Assign labels to the categories of files.

    Args:
        files: path and content of each.
        classes: names in the order of their labels. Some may be absent from the files, as a validation set may lack a
            rare class. None takes all categories by ascending id, without Roboflow's placeholder.

    Raises:
        UserError: a name is repeated or unusable; an unknown class; `classes` is None and an id means different
            categories in two files.
    """
    first = files[0][0]
    rows = [_rows_by_name(path, file, classes) for path, file in files]
    if classes is None:
        _refuse_different(files, rows)
        names = tuple(dict.fromkeys(name for found in rows for name in found))
    else:
        names = tuple(classes)
    check_class_names(names, first)
    absent = tuple(name for name in names if not any(name in found for found in rows))
    if absent:
        _accept_absent(first, names, absent, list(dict.fromkeys(name for found in rows for name in found)))
    ids, labels = [], []
    for label, name in enumerate(names):
        where = next((i for i, found in enumerate(rows) if name in found), None)
        ids.append(_unused(files, label) if where is None else files[where][1].category_ids.tolist()[rows[where][name]])
    for (_, file), found in zip(files, rows, strict=True):
        labels.append(np.full(len(file.category_names), -1))
        for label, name in enumerate(names):
            if name in found:
                labels[-1][found[name]] = label
    return Classes(names, ids, absent, labels)


def placeholder(file: CocoFile) -> int | None:
    """The index of a category that only groups the others: without objects, and the supercategory of all others.

    Roboflow writes the project's name there, as category 0.
    """
    names, parents = file.category_names.tolist(), file.parents.tolist()
    for row, name in enumerate(names[:1]):  # the lowest id
        others = [parent for other, parent in enumerate(parents) if other != row]
        top = parents[row].lower() in ("", "none") or parents[row] == name
        if others and set(others) == {name} and top and not (file.categories == row).any():
            return row
    return None


def _rows_by_name(path: Path, file: CocoFile, classes: Sequence[str] | None) -> dict[str, int]:
    """The index of the category of each name in a file."""
    counts = np.bincount(file.categories, minlength=len(file.category_names))
    names = file.category_names.tolist()
    by_name: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        by_name[name].append(row)
    group = placeholder(file)
    if group is not None and len(by_name[names[group]]) == 1 and names[group] not in (classes or ()):
        if classes is None:
            _tell_left_out(path, file, group, "the supercategory of all others")
        del by_name[names[group]]
    found = {}
    for name, rows in by_name.items():
        used = [row for row in rows if counts[row]]
        if len(used) > 1:
            raise UserError(f"{path}: two categories have the name {quoted(name)}, and both have objects; rename one")
        found[name] = used[0] if used else rows[-1]
        for row in rows:
            if row != found[name]:
                _tell_left_out(
                    path, file, row, f"category {quoted(file.category_ids.tolist()[found[name]])} has its name"
                )
    return found


def _tell_left_out(path: Path, file: CocoFile, row: int, why: str) -> None:
    number, name = file.category_ids.tolist()[row], quoted(file.category_names[row])
    logger.warning("%s: category %s, %s, has no objects and is left out: %s", path, number, name, why)


def _refuse_different(files: Files, rows: Sequence[dict[str, int]]) -> None:
    """Refuse an id with two meanings. Files whose ids only have another order are read by names."""
    first_path, first = files[0]
    ours = {same_id(first.category_ids.tolist()[row]): name for name, row in rows[0].items()}
    for (path, file), found in zip(files[1:], rows[1:], strict=True):
        for name, row in found.items():
            number = file.category_ids.tolist()[row]
            other = ours.get(same_id(number), name)
            if other != name and not (other in found and name in rows[0]):
                raise UserError(
                    f"{path} and {first_path} have different categories: {quoted(number)} is {quoted(name)} and "
                    f"{quoted(other)}; use one of them, or give `classes`, which go by name"
                )


def _accept_absent(path: Path, names: Sequence[str], absent: Sequence[str], known: Sequence[str]) -> None:
    """Take absent classes as classes without objects, unless a name looks misspelt."""
    others = [name for name in known if name not in names]
    hints = [did_you_mean(name, others) for name in absent]
    if len(absent) == len(names) or any(hints):
        shown = next((i for i, hint in enumerate(hints) if hint), 0)
        raise UserError(f"{path} has no category '{absent[shown]}'; it has {_listed(known)}{hints[shown]}")
    logger.warning(
        "%s: %d of %d classes have no category there (first: %s): they have no objects in this set",
        *(path, len(absent), len(names), absent[0]),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 100} others" if len(names) > 100 else ""
    return ", ".join(names[:100]) + more


def _unused(files: Files, label: int) -> int:
    """An id for a class that no file has, below all ids."""
    numbers = [value for _, file in files for value in file.category_ids.tolist() if isinstance(value, int)]
    return min([0, *numbers]) - 1 - label
