"""What a data set is taken for: its format, and its image sets by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resdet.data.detection.annotations import DetectionDataset

TRAIN, VAL = ("train", "trainval", "training"), ("valid", "val", "validation", "dev", "eval")
TEST = ("test", "testing")
ALL = "all"  # the name of a set that is not divided


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

    def named(self, names: tuple[str, ...]) -> str | None:
        """The first set with one of these names, or one with a year: "train2017"."""
        return next((name for name in self.sets if re.sub(r"[\W\d_]+$", "", name.lower()) in names), None)


def choose_sets(found: Recognized) -> tuple[Source, Source | None]:
    """The training set, and the set to test on: validation before test; None where nothing is divided."""
    if "trainval" in found.sets and found.named(TEST):
        return found.sets["trainval"], found.sets[str(found.named(TEST))]
    train, test = found.named(TRAIN), found.named(VAL) or found.named(TEST)
    if train is None or test is None:
        return found.sets[train or next(iter(found.sets))], None
    return found.sets[train], found.sets[test]
