"""What a data set is taken for: its format, and its image sets by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from resdet.data.detection.annotations import DetectionDataset
from resdet.errors import UserError

Role = Literal["train", "val", "test"]  # what a set is for
ALL = "all"  # the name of a set that is not divided

_WORDS: dict[Role, tuple[str, ...]] = {
    "train": ("train", "trainval", "training"),
    "val": ("valid", "val", "validation", "dev", "eval", "minival"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Source:
    """One image set: a class of data sets and its arguments."""

    kind: type[DetectionDataset]
    values: dict[str, Any]

    def open(self, **more: Any) -> DetectionDataset:
        """Read it, with further arguments."""
        return self.kind(**self.values, **more)


@dataclass(frozen=True)
class Recognized:
    """What a folder was taken for."""

    what: str  # for people: "VOC as CVAT exports it"
    root: Path
    sets: dict[str, Source] = field(default_factory=dict)  # by name, in the order of the layout

    def named(self, role: Role) -> str | None:
        """The first set whose name says this, those without further words before others: "train" before "my_train"."""
        names = [name for name in self.sets if role_of(name) == role]
        return min(names, key=lambda name: len(_words_of(name)), default=None)


def role_of(name: str) -> Role | None:
    """What a set is for by a word of its name.

    Args:
        name: "train2017", "Valid", "birds_test".

    Returns:
        The role; None if no word of the name is one of `_WORDS`, or several are of different roles.
    """
    roles = {role for word in _words_of(name) for role, words in _WORDS.items() if word in words}
    if roles == {"train", "val"}:  # "train_val", VOC's trainval
        return "train"
    if roles == {"val", "test"}:  # "test-dev2017"
        return "test"
    return roles.pop() if len(roles) == 1 else None


def choose_names(found: Recognized) -> tuple[str, str | None]:
    """Choose the sets of a training by their names.

    Validation is before test. A set whose name says nothing is trained on where another is for validation or test; of
    several such sets it is the first, which `unclear_sets` tells.

    Args:
        found: with one set or more.

    Returns:
        The name of the set to train on, and of the one to test on while training; None for the latter where a part of
        the first must be used.
    """
    train, val, test = found.named("train"), found.named("val"), found.named("test")
    if train is not None:
        whole = "trainval" if "trainval" in found.sets and test else None  # VOC tests what it trained on both parts
        return (whole, test) if whole else (train, val or test)
    other = next((name for name in found.sets if role_of(name) is None), None)
    if other is not None:
        return other, val or test
    return (val, test) if val and test else (next(iter(found.sets)), None)


def choose_sets(found: Recognized) -> tuple[Source, Source | None]:
    """Choose the sets of a training by their names.

    Args:
        found: see `choose_names`.

    Returns:
        The sets that `choose_names` names.
    """
    train, test = choose_names(found)
    return found.sets[train], None if test is None else found.sets[test]


def unclear_sets(found: Recognized) -> str | None:
    """Which sets could be the training set as well as the one of `choose_names`, for messages; None if it is clear."""
    names = [name for name in found.sets if role_of(name) is None]
    if found.named("train") is not None or len(names) < 2:
        return None
    return (
        f"no name says which of the sets {', '.join(names)} is for training: {names[0]} is taken, the others are not "
        "used; rename them (train, val, test), or name all of them in data.train"
    )


def divided_folders(folders: Sequence[Path], annotated_beside: bool = False) -> list[Path]:
    """The folders that are the sets of one data set.

    Args:
        folders: with annotated images, of one parent.
        annotated_beside: whether annotated images, or their annotations, lie directly in their parent, too.

    Returns:
        All of them, if the name of one says what it is for; else none: they are data sets of their own, or one set.

    Raises:
        UserError: they are sets, and images or annotations lie beside them, which are of no set.
    """
    named = next((folder for folder in folders if role_of(folder.name)), None)
    if named is None:
        return []
    if annotated_beside:
        raise UserError(
            f"{named.parent}: has files beside the set {named.name}, and they are in no set; move images and "
            "annotations alike into the folder of a set, one of these or a new one"
        )
    return list(folders)


def _words_of(name: str) -> list[str]:
    words = re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)  # "trainA" has two
    return [word.lower().removesuffix("set") or "set" for word in words]
