"""What a data set is taken for: its format, and its image sets by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from resdet.data.detection.annotations import DetectionDataset

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
    """What a set is for by a word of its name: "train2017", "Valid", "birds_test"; None if its name does not tell."""
    roles = {role for word in _words_of(name) for role, words in _WORDS.items() if word in words}
    if roles == {"train", "val"}:  # "train_val", VOC's trainval
        return "train"
    return roles.pop() if len(roles) == 1 else None


def choose_names(found: Recognized) -> tuple[str, str | None]:
    """The set to train on, and the one to test on while training; None where a part of the first must do.

    Validation is before test. A set whose name says nothing is trained on where another is for validation or test.
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
    """The sets of `choose_names`."""
    train, test = choose_names(found)
    return found.sets[train], None if test is None else found.sets[test]


def _words_of(name: str) -> list[str]:
    return [word.removesuffix("set") or word for word in re.findall("[a-z]+", name.lower())]
