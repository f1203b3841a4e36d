"""Objects by class, and what about them looks like a mistake: a class without objects, one of a few, one misspelt."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher
from itertools import combinations

import numpy as np

from resdet.data.detection.annotations import DetectionDataset

FEW = 5  # objects; a class with fewer is hardly learned
_RARE = 0.1  # of the objects of a class: one of a similar name with fewer may be the same, misspelt
_SIMILAR = 0.8  # difflib's ratio of two names that a slip of the keyboard may tell apart: Aple, Apple
_SHOWN = 10  # classes of a message


def count_classes(dataset: DetectionDataset) -> dict[str, int]:
    """The number of objects of each class, without those marked difficult and crowds."""
    table = dataset.table
    counted = table.labels[~(table.difficult | table.crowd)]
    numbers = np.bincount(counted, minlength=len(dataset.classes)).tolist()
    return dict(zip(dataset.classes, numbers, strict=True))


def doubts_of_classes(train: Mapping[str, int], others: Mapping[str, Mapping[str, int]] | None = None) -> list[str]:
    """What looks like a mistake in the classes, a line each.

    Args:
        train: number of objects to learn by class.
        others: the same of the sets that are not trained on, by their names.
    """
    others, lines = others or {}, []
    names = dict.fromkeys([*train, *(name for counts in others.values() for name in counts)])
    absent = [_elsewhere(name, others) for name in names if not train.get(name)]
    if absent:
        lines.append(f"no object to learn from: {_listed(absent)}")
    few = [f"{name} {count}" for name, count in train.items() if 0 < count < FEW]
    if few:
        lines.append(f"fewer than {FEW} objects to learn from: {_listed(few)}")
    similar = [f"{first} ({train[first]}) and {second} ({train[second]})" for first, second in _similar_names(train)]
    if similar:
        lines.append(f"similar names, maybe of one class: {_listed(similar)}")
    empty = [name for name, counts in others.items() if not any(counts.values())]
    if empty and any(train.values()):
        lines.append(f"no object to measure on in {_listed(empty)}: annotate images there, or test on others")
    return lines


def words_of_counts(counts: Mapping[str, int]) -> str:
    """The classes with their numbers of objects, for messages: "apple 30, pear 12"."""
    return _listed([f"{name} {count}" for name, count in counts.items()], shown=100)


def _elsewhere(name: str, others: Mapping[str, Mapping[str, int]]) -> str:
    """A class, and where it has objects: "pear (3 in test)"."""
    found = [f"{counts[name]} in {part}" for part, counts in others.items() if counts.get(name)]
    return f"{name} ({', '.join(found)})" if found else name


def _similar_names(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    found = []
    for first, second in combinations(counts, 2):
        a, b = (" ".join(name.casefold().replace("_", " ").replace("-", " ").split()) for name in (first, second))
        low, high = sorted((counts[first], counts[second]))
        if a == b or (low <= max(1, _RARE * high) and not _differ_by_number(a, b) and _similar(a, b)):
            found.append((first, second))
    return found


def _differ_by_number(a: str, b: str) -> bool:
    """Whether only their digits tell two names apart, as class 1 and class 2."""
    bare = [name.translate(str.maketrans("", "", "0123456789")) for name in (a, b)]
    return bare[0] == bare[1]


def _similar(a: str, b: str) -> bool:
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    return matcher.real_quick_ratio() >= _SIMILAR and matcher.ratio() >= _SIMILAR


def _listed(items: list[str], shown: int = _SHOWN) -> str:
    return ", ".join(items[:shown]) + (f" and {len(items) - shown} more" if len(items) > shown else "")
